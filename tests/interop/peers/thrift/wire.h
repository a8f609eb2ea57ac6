// The protocols of Apache Thrift for C++, by the names that server.py explains.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>

inline std::shared_ptr<apache::thrift::protocol::TProtocolFactory> protocols(const std::string& transport,
                                                                             const std::string& protocol) {
  using namespace apache::thrift::protocol;
  if (transport == "header") return std::make_shared<THeaderProtocolFactory>();
  if (protocol == "binary") return std::make_shared<TBinaryProtocolFactory>();
  if (protocol == "old") return std::make_shared<TBinaryProtocolFactory>(0, 0, false, false);
  if (protocol == "compact") return std::make_shared<TCompactProtocolFactory>();
  if (protocol == "json") return std::make_shared<TJSONProtocolFactory>();
  throw std::invalid_argument("no protocol " + protocol);
}
