package org.example.starlight;

/** example.EchoService: Starlight sends the methods of Java by their own names, and plain objects as protobuf. */
public interface Echo {
    Message Echo(Message message);

    Message Fail(Message message);

    Message Slow(Message message);

    /** EchoRequest and EchoResponse of java-brpc/echo.proto, without the map. */
    class Message {
        private String message;
        private String servedBy;

        public Message() {}

        public Message(String message, String servedBy) {
            this.message = message;
            this.servedBy = servedBy;
        }

        public String getMessage() { return message; }
        public void setMessage(String message) { this.message = message; }
        public String getServedBy() { return servedBy; }
        public void setServedBy(String servedBy) { this.servedBy = servedBy; }
    }
}
