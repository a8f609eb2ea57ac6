package org.example.mysql;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** What a Java application does with MySQL: arguments URL, user, password. Prints a line for statements of each kind. */
public final class MySQLPeer {
  private static final String[] KINDS = {
    "useServerPrepStmts=false", "useServerPrepStmts=true&cachePrepStmts=true", "useServerPrepStmts=true&useCursorFetch=true"
  };

  private MySQLPeer() {}

  public static void main(String[] arguments) throws Exception {
    for (String kind : KINDS) {
      String url = arguments[0] + (arguments[0].contains("?") ? "&" : "?") + kind;
      try (Connection c = DriverManager.getConnection(url, arguments[1], arguments[2])) {
        System.out.println(kind + " " + asked(c));
      }
    }
  }

  private static String asked(Connection c) throws Exception {
    StringBuilder said = new StringBuilder();
    int sum = 0;
    try (PreparedStatement p = c.prepareStatement("select ? + 1")) {
      for (int i = 0; i < 7; i++) {
        p.setInt(1, i);
        try (ResultSet r = p.executeQuery()) {
          r.next();
          sum += r.getInt(1);
        }
      }
    }
    said.append("sum=").append(sum);
    try (Statement s = c.createStatement()) {
      s.execute("select nothing");
    } catch (SQLException e) {
      said.append(" error=").append(e.getErrorCode());
    }
    c.setAutoCommit(false);
    try (PreparedStatement p = c.prepareStatement("insert into g (a) values (?)")) {
      for (int i = 0; i < 20; i++) {
        p.setInt(1, i);
        p.addBatch();
      }
      said.append(" batch=").append(p.executeBatch().length);
    }
    int rows = 0;
    try (PreparedStatement p = c.prepareStatement("select a from g")) {
      p.setFetchSize(7);
      try (ResultSet r = p.executeQuery()) {
        while (r.next()) {
          rows++;
        }
      }
    }
    said.append(" rows=").append(rows);
    c.rollback();
    c.setAutoCommit(true);
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select count(*) from g")) {
      r.next();
      said.append(" count=").append(r.getInt(1));
    }
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(1);
      s.executeQuery("select sleep(20), 'slow'");
    } catch (SQLException e) {
      said.append(" cancelled=").append(e.getErrorCode());
    }
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select 5")) {
      r.next();
      said.append(" then=").append(r.getInt(1));
    }
    return said.toString();
  }
}
