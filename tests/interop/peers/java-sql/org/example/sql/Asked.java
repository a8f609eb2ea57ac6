package org.example.sql;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** What a Java application asks of a database by JDBC, whichever it is. */
public final class Asked {
  private Asked() {}

  /** The sum of a prepared statement's seven answers. */
  public static int sum(Connection c, String text) throws SQLException {
    int sum = 0;
    try (PreparedStatement p = c.prepareStatement(text)) {
      for (int i = 0; i < 7; i++) {
        p.setInt(1, i);
        try (ResultSet r = p.executeQuery()) {
          r.next();
          sum += r.getInt(1);
        }
      }
    }
    return sum;
  }

  /** How many of twenty inserts in one batch were carried out. */
  public static int batch(Connection c, String text) throws SQLException {
    try (PreparedStatement p = c.prepareStatement(text)) {
      for (int i = 0; i < 20; i++) {
        p.setInt(1, i);
        p.addBatch();
      }
      return p.executeBatch().length;
    }
  }

  public static int rows(ResultSet found) throws SQLException {
    int rows = 0;
    while (found.next()) {
      rows++;
    }
    return rows;
  }

  /** The first number that a query answers. */
  public static int number(Connection c, String text) throws SQLException {
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(text)) {
      r.next();
      return r.getInt(1);
    }
  }

  /** The error of a statement that is cancelled after so many seconds (0: never). */
  public static SQLException error(Connection c, String text, int seconds) throws SQLException {
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(seconds);
      s.execute(text);
    } catch (SQLException e) {
      return e;
    }
    throw new IllegalStateException("no error: " + text);
  }
}
