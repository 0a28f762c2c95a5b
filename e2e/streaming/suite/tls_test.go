// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// authority signs certificates for the tests.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pem         []byte
}

func issue(t *testing.T, serial int64, by *authority) (*authority, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("test ", serial)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})},
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes})
}

// replace puts a file in place at once.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func tlsDaemon(t *testing.T, name, more string) *daemon {
	t.Helper()
	return daemonWith(t, name, "[streaming.tls]\nenabled = true\n"+more)
}

func TestTlsHasACertificateOfItsOwnMaking(t *testing.T) {
	c := tlsDaemon(t, "tls-own", "").run(t, shape{host: true})
	onEach(t, func(t *testing.T, via transport) {
		out, _, how := c.exec(t, via, strings.NewReader(strings.Repeat("hello\n", 100000)), "wc", "-c")
		if how != nil || strings.TrimSpace(out) != "600000" {
			t.Errorf("%q, %v", out, how)
		}
	})
	if address := c.execURL(t, remotecommand.StreamOptions{Stdout: &screen{}}, "true"); !strings.HasPrefix(address, "https://127.0.0.1:") {
		t.Error(address)
	}
	c.shakesHands(t, "TLS 1.1", false, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	c.shakesHands(t, "TLS 1.2", true, &tls.Config{MaxVersion: tls.VersionTLS12})
	c.shakesHands(t, "TLS 1.3", true, &tls.Config{MinVersion: tls.VersionTLS13})
	c.shakesHands(t, "a cipher without authentication of its own", false, ciphers(tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA))
	c.shakesHands(t, "an AEAD cipher", true, ciphers(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
}

func ciphers(only uint16) *tls.Config {
	return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{only}}
}

func (c container) shakesHands(t *testing.T, what string, wanted bool, config *tls.Config) {
	t.Helper()
	target, err := url.Parse(c.execURL(t, remotecommand.StreamOptions{Stdout: &screen{}}, "true"))
	if err != nil {
		t.Fatal(err)
	}
	config.InsecureSkipVerify = true
	connection, err := tls.Dial("tcp", target.Host, config)
	if err == nil {
		connection.Close()
	}
	if (err == nil) != wanted {
		t.Errorf("%s: %v", what, err)
	}
}

func TestTlsSpeaksTheCiphersThatAreConfigured(t *testing.T) {
	c := tlsDaemon(t, "tls-ciphers", "ciphers = \"ECDHE-ECDSA-AES256-GCM-SHA384\"\n").run(t, shape{host: true})
	c.shakesHands(t, "another", false, ciphers(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
	c.shakesHands(t, "the one configured", true, ciphers(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384))
}

func TestTlsWantsCertificatesAndReadsItsOwnAnew(t *testing.T) {
	dir := t.TempDir()
	ca, _ := issue(t, 1, nil)
	first, firstKey := issue(t, 2, ca)
	second, secondKey := issue(t, 3, ca)
	client, clientKey := issue(t, 4, ca)
	certificate, key, authorities := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "ca.pem")
	replace(t, certificate, first.pem)
	replace(t, key, firstKey)
	replace(t, authorities, ca.pem)
	c := tlsDaemon(t, "tls-given", fmt.Sprintf("certificate = %q\nkey = %q\nclient_ca = %q\nmin_version = \"1.3\"\n",
		certificate, key, authorities)).run(t, shape{host: true})

	o := remotecommand.StreamOptions{Stdout: &screen{}}
	if err := transports[0].stream(context.Background(), c.execURL(t, o, "true"), o); err == nil {
		t.Error("a client without a certificate is served")
	}
	stranger, _ := issue(t, 5, nil)
	forged, forgedKey := issue(t, 6, stranger)
	foreign := transport{"", func(address string) (remotecommand.Executor, error) {
		target, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{
			CAData: ca.pem, CertData: forged.pem, KeyData: forgedKey}}, "POST", target)
	}}
	if err := foreign.stream(context.Background(), c.execURL(t, o, "true"), o); err == nil {
		t.Error("a client with a certificate of another authority is served")
	}
	target, err := url.Parse(c.execURL(t, o, "true"))
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: ca.pem, CertData: client.pem, KeyData: clientKey}}
	executor, err := remotecommand.NewSPDYExecutor(config, "POST", target)
	if err != nil {
		t.Fatal(err)
	}
	if err := executor.StreamWithContext(context.Background(), o); err != nil {
		t.Errorf("a client with a certificate: %v", err)
	}

	pair, err := tls.X509KeyPair(client.pem, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	serial := func(most uint16) (int64, error) {
		connection, err := tls.Dial("tcp", target.Host, &tls.Config{InsecureSkipVerify: true, MaxVersion: most, Certificates: []tls.Certificate{pair}})
		if err != nil {
			return 0, err
		}
		defer connection.Close()
		return connection.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if _, err := serial(tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is spoken though 1.3 is the least")
	}
	if n, err := serial(0); n != 2 {
		t.Errorf("certificate %d, %v", n, err)
	}
	replace(t, certificate, []byte("broken"))
	time.Sleep(1100 * time.Millisecond) // the server looks once a second; nothing may change
	if n, err := serial(0); n != 2 {
		t.Errorf("after a broken file: certificate %d, %v", n, err)
	}
	replace(t, key, secondKey)
	replace(t, certificate, second.pem)
	if !until(func() bool { n, _ := serial(0); return n == 3 }) {
		t.Error("the new certificate is not used")
	}
}
