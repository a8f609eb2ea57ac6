package org.example;

import java.io.Serializable;

/** The object inside Person. */
public class Address implements Serializable {
    private static final long serialVersionUID = 1L;
    private String city;
    private Person lives;

    public String getCity() { return city; }
    public void setCity(String city) { this.city = city; }
    public Person getLives() { return lives; }
    public void setLives(Person lives) { this.lives = lives; }
}
