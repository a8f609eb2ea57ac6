// What a Go application does with RabbitMQ, once: `amqp-go URI`. Prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const name = "go"

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The reply code with which a channel of its own is closed; 0 for none.
func code(connection *amqp.Connection, act func(*amqp.Channel) error) int {
	channel := must(connection.Channel())
	defer channel.Close()
	var failed *amqp.Error
	if errors.As(act(channel), &failed) {
		return failed.Code
	}
	return 0
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	connection := must(amqp.Dial(os.Args[1]))
	channel := must(connection.Channel())
	exchange, queue := name+"-x", name+"-q"
	check(channel.ExchangeDeclare(exchange, "topic", false, true, false, false, nil))
	must(channel.QueueDeclare(queue, false, false, false, false, nil))
	must(channel.QueuePurge(queue, false))
	check(channel.QueueBind(queue, "order.*", exchange, false, nil))
	check(channel.Confirm(false))
	confirmed := 0
	for number := range 100 {
		sent := must(channel.PublishWithDeferredConfirmWithContext(ctx, exchange, "order.new", false, false, amqp.Publishing{
			Headers: amqp.Table{"tenant": "t1"}, DeliveryMode: amqp.Persistent, Body: []byte(strconv.Itoa(number)),
		}))
		if must(sent.WaitContext(ctx)) {
			confirmed++
		}
	}
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	check(channel.PublishWithContext(ctx, "", "nowhere", true, false, amqp.Publishing{Body: []byte("x")}))
	returned := int((<-returns).ReplyCode)
	check(channel.Qos(10, 0, false))
	consumed, header := 0, ""
	for message := range must(channel.Consume(queue, "all", false, false, false, false, nil)) {
		check(message.Ack(false))
		header = message.Headers["tenant"].(string)
		if consumed++; consumed == 100 {
			break
		}
	}
	check(channel.Cancel("all", false))
	_, some, err := channel.Get(queue, false)
	check(err)
	check(channel.PublishWithContext(ctx, "", queue, false, false, amqp.Publishing{Body: []byte(strings.Repeat("x", 3000000))}))
	message, _, err := channel.Get(queue, true)
	check(err)
	transaction := must(connection.Channel())
	check(transaction.Tx())
	check(transaction.PublishWithContext(ctx, "", queue, false, false, amqp.Publishing{Body: []byte("kept")}))
	check(transaction.TxCommit())
	check(transaction.PublishWithContext(ctx, "", queue, false, false, amqp.Publishing{Body: []byte("dropped")}))
	check(transaction.TxRollback())
	committed := must(channel.QueueDeclarePassive(queue, false, false, false, false, nil)).Messages
	must(channel.QueuePurge(queue, false))

	server, caller := must(connection.Channel()), must(connection.Channel())
	asked := must(server.Consume(queue, "", false, false, false, false, nil))
	answers := must(caller.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil))
	check(caller.PublishWithContext(ctx, "", queue, false, false, amqp.Publishing{Body: []byte("ping"), ReplyTo: "amq.rabbitmq.reply-to"}))
	ping := <-asked
	check(server.PublishWithContext(ctx, "", ping.ReplyTo, false, false, amqp.Publishing{Body: []byte("pong")}))
	check(ping.Ack(false))
	reply := string((<-answers).Body)
	missing := code(connection, func(which *amqp.Channel) error {
		_, err := which.QueueDeclarePassive("missing", false, false, false, false, nil)
		return err
	})
	denied := code(connection, func(which *amqp.Channel) error {
		_, err := which.QueueDelete("kept", false, false, false)
		return err
	})
	check(connection.Close())
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"confirmed": confirmed, "returned": returned, "consumed": consumed, "header": header, "empty": !some,
		"large": len(message.Body), "committed": committed, "reply": reply, "missing": missing, "denied": denied,
	})
}
