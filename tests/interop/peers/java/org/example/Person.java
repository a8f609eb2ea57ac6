package org.example;

import java.io.Serializable;
import java.util.List;
import java.util.Map;

/** An argument and answer with everything nested: an object, a list and a map. */
public class Person implements Serializable {
    private static final long serialVersionUID = 1L;
    private String name;
    private int age;
    private double ratio;
    private boolean active;
    private Address address;
    private List<String> tags;
    private Map<String, Long> sums;

    public String getName() { return name; }
    public void setName(String name) { this.name = name; }
    public int getAge() { return age; }
    public void setAge(int age) { this.age = age; }
    public double getRatio() { return ratio; }
    public void setRatio(double ratio) { this.ratio = ratio; }
    public boolean isActive() { return active; }
    public void setActive(boolean active) { this.active = active; }
    public Address getAddress() { return address; }
    public void setAddress(Address address) { this.address = address; }
    public List<String> getTags() { return tags; }
    public void setTags(List<String> tags) { this.tags = tags; }
    public Map<String, Long> getSums() { return sums; }
    public void setSums(Map<String, Long> sums) { this.sums = sums; }
}
