package org.example.postgres;

import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import org.example.sql.Asked;
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
    said.append("sum=").append(Asked.sum(c, "select ?::int + 1"));
    said.append(" error=").append(Asked.error(c, "select nothing", 0).getSQLState());
    c.setAutoCommit(false);
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select generate_series(1, 50)")) {
      said.append(" rows=").append(Asked.rows(r));
    }
    try (Statement s = c.createStatement()) {
      s.execute("create temporary table j (a int)");
      s.execute("insert into j values (1)");
    }
    said.append(" batch=").append(Asked.batch(c, "insert into j values (?)"));
    long copied = c.unwrap(PGConnection.class).getCopyAPI().copyIn("copy j from stdin", new StringReader("7\n8\n9\n"));
    said.append(" copied=").append(copied);
    c.commit();
    c.setAutoCommit(true);
    said.append(" count=").append(Asked.number(c, "select count(*) from j"));
    return said.append(" cancelled=").append(Asked.error(c, "select pg_sleep(30)", 1).getSQLState()).toString();
  }
}
