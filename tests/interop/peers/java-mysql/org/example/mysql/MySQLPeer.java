package org.example.mysql;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import org.example.sql.Asked;

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
    said.append("sum=").append(Asked.sum(c, "select ? + 1"));
    said.append(" error=").append(Asked.error(c, "select nothing", 0).getErrorCode());
    c.setAutoCommit(false);
    said.append(" batch=").append(Asked.batch(c, "insert into g (a) values (?)"));
    try (PreparedStatement p = c.prepareStatement("select a from g")) {
      p.setFetchSize(7);
      try (ResultSet r = p.executeQuery()) {
        said.append(" rows=").append(Asked.rows(r));
      }
    }
    c.rollback();
    c.setAutoCommit(true);
    said.append(" count=").append(Asked.number(c, "select count(*) from g"));
    said.append(" cancelled=").append(Asked.error(c, "select sleep(20), 'slow'", 1).getErrorCode());
    return said.append(" then=").append(Asked.number(c, "select 5")).toString();
  }
}
