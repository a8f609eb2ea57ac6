// A client of Apache Thrift for C++: one job a line on stdin, "PORT TRANSPORT PROTOCOL plain|mux", one JSON list a line on
// stdout with the results of these calls: sayHello("bob"), add(3, 4), whether echo gave back what it got, ping(),
// reject("no"), crash("boom"), note("PORT"). Over the header transport each call has the header tenant: t1.
#include <functional>
#include <iostream>
#include <sstream>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include "Hello.h"
#include "wire.h"

using namespace apache::thrift;

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

std::string error(const std::string& kind, const std::string& message) {
  return "{\"error\": {\"class\": " + quoted(kind) + ", \"message\": " + quoted(message) + "}}";
}

std::string one(const std::function<std::string()>& call) {
  try {
    return "{\"value\": " + call() + "}";
  } catch (const hello::Rejected& e) {
    return error("Rejected", e.why);
  } catch (const TApplicationException& e) {
    return error("TApplicationException", std::to_string(e.getType()) + ": " + e.what());
  } catch (const std::exception& e) {
    return error("exception", e.what());
  }
}

hello::Item item() {
  hello::Item item;
  item.__set_name("thing");
  item.__set_count(-70000);
  item.__set_on(true);
  item.__set_small(-5);
  item.__set_medium(-300);
  item.__set_large(1LL << 60);
  item.__set_ratio(-0.1);
  item.__set_raw(std::string("\0\xff", 2));
  item.__set_flags({true, false, true});
  item.__set_numbers({1, -2, 300000});
  item.__set_sums({{"a", {1, -1}}, {"b", {}}});
  return item;
}

std::shared_ptr<transport::TTransport> wrapped(const std::shared_ptr<transport::TSocket>& socket, const std::string& name) {
  if (name == "framed") return std::make_shared<transport::TFramedTransport>(socket);
  if (name == "buffered") return std::make_shared<transport::TBufferedTransport>(socket);
  return socket;  // header: the protocol has the transport inside
}

std::string run(int port, const std::string& transport, const std::string& protocol, bool mux) {
  auto socket = std::make_shared<transport::TSocket>("127.0.0.1", port);
  socket->setRecvTimeout(5000);
  auto bare = protocols(transport, protocol)->getProtocol(wrapped(socket, transport));
  auto header = std::dynamic_pointer_cast<protocol::THeaderProtocol>(bare);
  std::shared_ptr<protocol::TProtocol> used = bare;
  if (mux) used = std::make_shared<protocol::TMultiplexedProtocol>(bare, "Hello");
  hello::HelloClient client(used);
  std::string result = "[";
  auto add = [&](const std::function<std::string()>& call) {
    if (header) header->setHeader("tenant", "t1");
    result += (result.size() > 1 ? ", " : "") + one(call);
  };
  add([&] { socket->open(); std::string answer; client.sayHello(answer, "bob"); return quoted(answer); });
  add([&] { return std::to_string(client.add(3, 4)); });
  add([&] { hello::Item answer; client.echo(answer, item()); return std::string(answer == item() ? "true" : "false"); });
  add([&] { client.ping(); return std::string("null"); });
  add([&] { std::string answer; client.reject(answer, "no"); return quoted(answer); });
  add([&] { std::string answer; client.crash(answer, "boom"); return quoted(answer); });
  add([&] { client.note(std::to_string(port)); return std::string("null"); });
  socket->close();
  return result + "]";
}

}  // namespace

int main() {
  GlobalOutput.setOutputFunction([](const char*) {});
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    int port;
    std::string transport, protocol, mux;
    words >> port >> transport >> protocol >> mux;
    std::cout << run(port, transport, protocol, mux == "mux") << std::endl;
  }
}
