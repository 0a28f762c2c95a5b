// SPDX-License-Identifier: Apache-2.0

// Command inside runs in the containers of the streaming tests: TCP servers that nobody has to install there.
//
//	inside echo ADDRESS…   sends back what comes, and closes its side when the client has closed its own
//	inside digest ADDRESS  reads to the end of the client's side and answers with the SHA-256 of it
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
)

func serve(listener net.Listener, answer func(*net.TCPConn)) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			defer connection.Close()
			answer(connection.(*net.TCPConn))
		}()
	}
}

func main() {
	if len(os.Args) < 3 {
		os.Exit(2)
	}
	answer := func(c *net.TCPConn) {
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	}
	if os.Args[1] == "digest" {
		answer = func(c *net.TCPConn) {
			digest := sha256.New()
			_, _ = io.Copy(digest, c)
			fmt.Fprintf(c, "%x", digest.Sum(nil))
		}
	}
	for _, address := range os.Args[2:] {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(listener, answer)
	}
	fmt.Println("listening")
	select {}
}
