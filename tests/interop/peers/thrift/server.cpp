// Thrift servers of Apache Thrift for C++, one a port: server NAME PORT:TRANSPORT:PROTOCOL ... (see server.py).
//
// Framed is TNonblockingServer's, the others TThreadedServer's. headers() is always empty: a handler of the
// library does not see them.
#include <cstdio>
#include <mutex>
#include <thread>
#include <thrift/processor/TMultiplexedProcessor.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TNonblockingServerSocket.h>
#include <thrift/transport/TServerSocket.h>

#include "Hello.h"
#include "wire.h"

using namespace apache::thrift;

class Handler : public hello::HelloIf {
 public:
  explicit Handler(std::string name) : name_(std::move(name)) {}

  void sayHello(std::string& answer, const std::string& who) override { answer = "hello " + who + " from " + name_; }
  int32_t add(const int32_t a, const int32_t b) override { return a + b; }
  void echo(hello::Item& answer, const hello::Item& item) override { answer = item; }
  void ping() override {}
  void reject(std::string&, const std::string& why) override {
    hello::Rejected error;
    error.__set_why(why);
    error.__set_code(7);
    throw error;
  }
  void crash(std::string&, const std::string& why) override { throw std::runtime_error(why); }
  int32_t slow(const int32_t milliseconds) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return milliseconds;
  }
  void note(const std::string& text) override {
    std::lock_guard<std::mutex> hold(mutex_);
    notes_.push_back(text);
  }
  void noted(std::vector<std::string>& answer) override {
    std::lock_guard<std::mutex> hold(mutex_);
    answer = notes_;
  }
  void headers(std::map<std::string, std::string>&) override {}

 private:
  std::string name_;
  std::mutex mutex_;
  std::vector<std::string> notes_;
};

int main(int count, char** arguments) {
  auto plain = std::make_shared<hello::HelloProcessor>(std::make_shared<Handler>(arguments[1]));
  auto processor = std::make_shared<TMultiplexedProcessor>();
  processor->registerDefault(plain);
  processor->registerProcessor("Hello", plain);
  GlobalOutput.setOutputFunction([](const char*) {});
  for (int i = 2; i < count; i++) {
    std::string spec = arguments[i];
    auto first = spec.find(':'), second = spec.find(':', first + 1);
    int port = std::stoi(spec.substr(0, first));
    std::string transport = spec.substr(first + 1, second - first - 1);
    auto factory = protocols(transport, spec.substr(second + 1));
    if (transport != "framed") {
      auto socket = std::make_shared<transport::TServerSocket>("127.0.0.1", port);
      auto wrap = transport == "header" ? std::make_shared<transport::TTransportFactory>()
                                        : std::make_shared<transport::TBufferedTransportFactory>();
      auto server = std::make_shared<server::TThreadedServer>(processor, socket, wrap, factory);
      std::thread([server] { server->serve(); }).detach();
    } else {
      auto socket = std::make_shared<transport::TNonblockingServerSocket>("127.0.0.1", port);
      auto server = std::make_shared<server::TNonblockingServer>(processor, factory, socket);
      std::thread([server] { server->serve(); }).detach();
    }
  }
  std::puts("ready");
  std::fflush(stdout);
  pause();
}
