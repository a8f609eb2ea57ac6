package org.example.postgres;

import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.postgresql.PGConnection;

/** What a Java application does with PostgreSQL, in each query mode: arguments URL, user, password. Prints a line a mode. */
public final class PostgresPeer {
  private static final String[] MODES = {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"};

  private PostgresPeer() {}

  public static void main(String[] arguments) throws Exception {
    for (String mode : MODES) {
      String url = arguments[0] + "?prepareThreshold=1&defaultRowFetchSize=7&preferQueryMode=" + mode;
      try (Connection c = DriverManager.getConnection(url, arguments[1], arguments[2])) {
        System.out.println(mode + " " + asked(c));
      }
    }
  }

  private static String asked(Connection c) throws Exception {
    StringBuilder said = new StringBuilder();
    int sum = 0;
    try (PreparedStatement p = c.prepareStatement("select ?::int + 1")) {
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
      said.append(" error=").append(e.getSQLState());
    }
    c.setAutoCommit(false);
    int rows = 0;
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select generate_series(1, 50)")) {
      while (r.next()) {
        rows++;
      }
    }
    said.append(" rows=").append(rows);
    try (Statement s = c.createStatement()) {
      s.execute("create temporary table j (a int)");
      s.execute("insert into j values (1)");
    }
    try (PreparedStatement p = c.prepareStatement("insert into j values (?)")) {
      for (int i = 0; i < 20; i++) {
        p.setInt(1, i);
        p.addBatch();
      }
      said.append(" batch=").append(p.executeBatch().length);
    }
    long copied = c.unwrap(PGConnection.class).getCopyAPI().copyIn("copy j from stdin", new StringReader("7\n8\n9\n"));
    said.append(" copied=").append(copied);
    c.commit();
    c.setAutoCommit(true);
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select count(*) from j")) {
      r.next();
      said.append(" count=").append(r.getInt(1));
    }
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(1);
      s.execute("select pg_sleep(30)");
    } catch (SQLException e) {
      said.append(" cancelled=").append(e.getSQLState());
    }
    return said.toString();
  }
}
