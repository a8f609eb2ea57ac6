// What conf/transcode.yaml offers over HTTP and JSON.
exception Rejected {
  1: string why
  2: i32 code
}

service Hello {
  string sayHello(1: string name)
  i32 add(1: i32 a, 2: i32 b)
  string reject(1: string why) throws (1: Rejected rejected)
}
