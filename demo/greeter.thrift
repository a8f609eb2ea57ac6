service Greeter {
  string sayHello(1: string who)
}
