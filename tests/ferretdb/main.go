// A server of MongoDB's wire protocol for the tests, where no mongod is installed:
//
//	ferretdb HOST:PORT DIRECTORY
//
// FerretDB's own program cannot be built from its module; its embeddable package can. Over SQLite it
// looks a document up and writes it in two steps, so two replacements that expect the same version
// both succeed; MongoDB's do not. Hence the gate: one command at a time, over all connections.
package main

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

const (
	headerSize = 16
	maxMessage = 48 << 20 // the protocol's limit
	opMsg      = 2013
	moreToCome = 2 // the sender expects no reply
)

var gate sync.Mutex

func message(r io.Reader) ([]byte, error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size < headerSize || size > maxMessage {
		return nil, io.ErrUnexpectedEOF
	}
	whole := append(head, make([]byte, size-headerSize)...)
	_, err := io.ReadFull(r, whole[headerSize:])
	return whole, err
}

func silent(m []byte) bool {
	return binary.LittleEndian.Uint32(m[12:]) == opMsg && len(m) >= headerSize+4 &&
		binary.LittleEndian.Uint32(m[headerSize:])&moreToCome != 0
}

func exchange(server net.Conn, request []byte) ([]byte, error) {
	gate.Lock()
	defer gate.Unlock()
	if _, err := server.Write(request); err != nil || silent(request) {
		return nil, err
	}
	return message(server)
}

func serve(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := message(client)
		if err != nil {
			return
		}
		reply, err := exchange(server, request)
		if err != nil {
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// Not before FerretDB answers behind it: who can connect is served.
func listen(address, socket string) {
	for {
		probe, err := net.Dial("unix", socket)
		if err == nil {
			probe.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	front, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := front.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(client, socket)
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: ferretdb HOST:PORT DIRECTORY")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	private, err := os.MkdirTemp("", "ferretdb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(private)
	socket := filepath.Join(private, "socket")
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	go listen(os.Args[1], socket)
	if err := <-ended; err != nil {
		log.Print(err)
	}
}
