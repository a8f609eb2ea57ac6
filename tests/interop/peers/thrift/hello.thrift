// What the Thrift peers serve. tests/interop/install has the compiler generate code from it for every language.
namespace java org.example.thrift
namespace py hello
namespace cpp hello

exception Rejected {
  1: string why
  2: i32 code
}

struct Inner {
  1: string name
  2: list<i32> counts
}

// Every type of the three protocols, nested.
struct Item {
  1: string name
  2: i32 count
  3: bool on
  4: i8 small
  5: i16 medium
  6: i64 large
  7: double ratio
  8: binary raw
  9: list<bool> flags
  10: set<i32> numbers
  11: map<string, list<i64>> sums
  12: optional Inner inner
}

service Hello {
  string sayHello(1: string name)
  i32 add(1: i32 a, 2: i32 b)
  Item echo(1: Item item)
  void ping()
  string reject(1: string why) throws (1: Rejected rejected)
  // Fails with an exception that is not declared: a TApplicationException for the client.
  string crash(1: string why)
  i32 slow(1: i32 milliseconds)
  oneway void note(1: string text)
  list<string> noted()
  // The THeader headers of the call, as the server saw them.
  map<string, string> headers()
}
