package org.example;

import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TJSONProtocol;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.transport.TTransportFactory;
import org.apache.thrift.transport.layered.TFramedTransport;

/** The transports and protocols of Apache Thrift for Java, by the names that thrift/server.py explains. */
final class ThriftWire {
    private ThriftWire() {}

    static TTransportFactory transport(String name) {
        return name.equals("framed") ? new TFramedTransport.Factory() : new TTransportFactory();
    }

    static TProtocolFactory protocol(String name) {
        switch (name) {
            case "binary":
                return new TBinaryProtocol.Factory();
            case "old":
                return new TBinaryProtocol.Factory(false, false);
            case "compact":
                return new TCompactProtocol.Factory();
            case "json":
                return new TJSONProtocol.Factory();
            default:
                throw new IllegalArgumentException("no protocol " + name);
        }
    }
}
