// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "cri/streaming/remote_command.h"
#include "cri/streaming/tokens.h"
#include "cri/streaming/upgrade.h"
#include "cri/streaming/ws_channels.h"

namespace berth::cri::streaming {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Channels {
 public:
  explicit Channels(ChannelProtocol protocol)
      : reader_(protocol, {[this](unsigned channel, std::string_view part) { text[channel] += part; },
                           [this](unsigned channel) { closed.insert(channel); }}) {}
  absl::Status Feed(std::string_view part, bool last = true) { return reader_.Feed(part, last); }
  std::map<unsigned, std::string> text;
  std::set<unsigned> closed;

 private:
  ChannelReader reader_;
};

TEST(ChannelReader, TakesMessagesInPieces) {
  Channels channels({});
  ASSERT_TRUE(channels.Feed(std::string_view("\0he", 3), false).ok());
  ASSERT_TRUE(channels.Feed("llo", true).ok());
  ASSERT_TRUE(channels.Feed("\4{}").ok());
  ASSERT_TRUE(channels.Feed("").ok());
  ASSERT_TRUE(channels.Feed(std::string_view("\0", 1), false).ok());
  ASSERT_TRUE(channels.Feed("!").ok());
  EXPECT_EQ(channels.text[0], "hello!");
  EXPECT_EQ(channels.text[4], "{}");
}

TEST(ChannelReader, VersionFiveClosesAChannelAndOthersDoNot) {
  Channels five({false, true});
  ASSERT_TRUE(five.Feed(std::string("\xff\0", 2)).ok());
  ASSERT_TRUE(five.Feed("\xff", false).ok());
  ASSERT_TRUE(five.Feed("\2").ok());
  EXPECT_THAT(five.closed, ElementsAre(0, 2));
  EXPECT_FALSE(five.Feed("\xff").ok());
  EXPECT_FALSE(five.Feed(std::string("\xff\0\0", 3)).ok());
  Channels four({});
  ASSERT_TRUE(four.Feed(std::string("\xff\0", 2)).ok());
  EXPECT_TRUE(four.closed.empty());
}

TEST(ChannelReader, Base64IsDecodedWhereverItIsCut) {
  const std::string message = "0aGVsbG8gd29ybGQ=";  // "hello world"
  for (std::size_t cut = 0; cut <= message.size(); ++cut) {
    Channels channels({true, false});
    ASSERT_TRUE(channels.Feed(std::string_view(message).substr(0, cut), false).ok());
    ASSERT_TRUE(channels.Feed(std::string_view(message).substr(cut), true).ok());
    EXPECT_EQ(channels.text[0], "hello world") << cut;
  }
  Channels channels({true, false});
  EXPECT_FALSE(channels.Feed("0***").ok());
  EXPECT_FALSE(channels.Feed("xaGVs").ok());
}

// What is told of one base64 message that arrives in pieces of `size` bytes, and whether it was taken.
std::string ToldInPieces(std::string_view message, std::size_t size) {
  Channels channels({true, false});
  for (std::size_t at = 0; at < message.size(); at += size) {
    const bool last = at + size >= message.size();
    if (const auto fed = channels.Feed(message.substr(at, size), last); !fed.ok())
      return channels.text[0] + " " + std::string(fed.message());
  }
  return channels.text[0];
}

TEST(ChannelReader, Base64IsStrictAndTheSameHoweverItIsCut) {
  const std::string refused = " a message of a base64 protocol is not base64";
  for (const auto& [message, told] : std::map<std::string, std::string>{
           {"0aGVs", "hel"},
           {"0aGVsbG8=", "hello"},
           {"0aGVsbA==", "hell"},
           {"0aGVsbG8", "hel" + refused},         // no padding
           {"0aGVsbA=", "hel" + refused},         // too little of it
           {"0aGVsbG8=aGVs", "hello" + refused},  // padding within
           {"0aA==aGVs", "h" + refused},
           {"0aGVsbG8==", "hello" + refused},
           {"0====", refused},
           {"0a===", refused},
           {"0aGVsbG9=", "hel" + refused},  // bits that say nothing and are not zero
           {"0aGVs bG8=", "hel" + refused},
           {"0aGVs\nbG8=", "hel" + refused},
           {"0aGVsbG8.", "hel" + refused},
           {"0aGVs-_-_", "hel" + refused},  // another alphabet
           {std::string("0aGVs\0\0\0\0", 9), "hel" + refused},
           {"0aGVs\xff\xff\xff\xff", "hel" + refused},
       }) {
    for (std::size_t size = 1; size <= message.size(); ++size)
      EXPECT_EQ(ToldInPieces(message, size), told) << "'" << message << "' in pieces of " << size;
  }
  // A message's padding ends it and not the channel.
  Channels channels({true, false});
  EXPECT_TRUE(channels.Feed("0aGVsbG8=").ok());
  EXPECT_TRUE(channels.Feed("0aGVs").ok());
  EXPECT_EQ(channels.text[0], "hellohel");
}

TEST(ChannelMessage, IsWhatTheReaderReads) {
  for (const bool base64 : {false, true}) {
    const ChannelProtocol protocol{base64, false};
    const auto message = MakeChannelMessage(protocol, 1, std::string("a\0b\xff", 4));
    Channels channels(protocol);
    ASSERT_TRUE(channels.Feed(message.head + message.body).ok());
    EXPECT_EQ(channels.text[1], std::string("a\0b\xff", 4));
  }
}

TEST(ResizeReader, ReadsConcatenatedObjectsWithKeysInAnyCase) {
  ResizeReader reader;
  EXPECT_FALSE(reader.Feed("{\"Width\":80,\"Hei"));
  const auto size = reader.Feed("ght\":24}\n{\"width\":100,\"height\":30}");
  ASSERT_TRUE(size);
  EXPECT_EQ(size->width, 100);
  EXPECT_EQ(size->height, 30);
}

TEST(ResizeReader, SkipsWhatIsMalformedAndHoldsLittle) {
  ResizeReader reader;
  EXPECT_FALSE(reader.Feed("{\"Width\":70000,\"Height\":24}"));
  EXPECT_FALSE(reader.Feed("{\"Width\":-1,\"Height\":24}"));
  EXPECT_FALSE(reader.Feed("nonsense}"));
  EXPECT_FALSE(reader.Feed(std::string(1 << 20, '{')));
  EXPECT_FALSE(reader.Feed("}"));  // of what was too long
  EXPECT_TRUE(reader.Feed("{\"Width\":1,\"Height\":1}"));
}

TEST(OutcomeText, IsAStatusObjectFromVersionFourOn) {
  using nlohmann::json;
  EXPECT_EQ(json::parse(OutcomeText({}, 4))["status"], "Success");
  const json seven = json::parse(OutcomeText({absl::OkStatus(), 7}, 5));
  EXPECT_EQ(seven["status"], "Failure");
  EXPECT_EQ(seven["reason"], "NonZeroExitCode");
  EXPECT_EQ(seven["details"]["causes"][0]["reason"], "ExitCode");
  EXPECT_EQ(seven["details"]["causes"][0]["message"], "7");
  const json broken = json::parse(OutcomeText({absl::UnknownError("no \xff such file"), 0}, 4));
  EXPECT_EQ(broken["reason"], "InternalError");
  EXPECT_EQ(broken["code"], 500);
  EXPECT_THAT(broken["message"].get<std::string>(), HasSubstr("such file"));
}

TEST(OutcomeText, IsWordsBeforeVersionFour) {
  EXPECT_EQ(OutcomeText({}, 3), "");
  EXPECT_THAT(OutcomeText({absl::OkStatus(), 7}, 1), HasSubstr("7"));
  EXPECT_EQ(OutcomeText({absl::UnknownError("why"), 0}, 2), "why");
}

absl::Status Anybody(const Ticket&) { return absl::OkStatus(); }

TEST(Tokens, AreNotUsedUpByWhoIsNotAdmitted) {
  Tokens tokens;
  Ticket ticket;
  ticket.container_id = "c";
  const auto token = tokens.Issue(ticket);
  ASSERT_TRUE(token.ok());
  const auto refused = tokens.Take(
      *token, [](const Ticket& t) { return absl::ResourceExhaustedError("no room for " + t.container_id); });
  EXPECT_EQ(refused.status(), absl::ResourceExhaustedError("no room for c"));
  EXPECT_TRUE(tokens.Take(*token, Anybody).ok());
}

TEST(Tokens, CountOnceAndForAMinute) {
  std::int64_t now = 1;
  Tokens tokens([&] { return now; });
  Ticket ticket;
  ticket.container_id = "c";
  const auto first = tokens.Issue(ticket);
  const auto second = tokens.Issue(ticket);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first, *second);
  EXPECT_GE(first->size(), 32U);
  EXPECT_EQ(tokens.Take(*first, Anybody)->container_id, "c");
  EXPECT_EQ(tokens.Take(*first, Anybody).status().code(), absl::StatusCode::kNotFound);
  now += kTokenLifeNs;
  EXPECT_EQ(tokens.Take(*second, Anybody).status().code(), absl::StatusCode::kNotFound);
}

TEST(Tokens, AreLimitedUntilTheyRunOut) {
  std::int64_t now = 1;
  Tokens tokens([&] { return now; });
  for (std::size_t i = 0; i < kMaxTokens; ++i) ASSERT_TRUE(tokens.Issue({}).ok());
  EXPECT_EQ(tokens.Issue({}).status().code(), absl::StatusCode::kResourceExhausted);
  now += kTokenLifeNs;
  EXPECT_TRUE(tokens.Issue({}).ok());
}

HttpRequest Parse(const std::string& text) {
  HttpRequestParser parser;
  LimitParser(&parser);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(text), error);
  EXPECT_FALSE(error) << error.message();
  return parser.get();
}

std::string Ask(const std::string& headers) {
  return "POST /exec/t HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n";
}

std::string Spoken(const std::string& headers, Purpose purpose = Purpose::kExec) {
  const auto upgrade = Negotiate(Parse(Ask(headers)), purpose);
  if (!upgrade.ok()) return upgrade.status().ToString();
  return (upgrade->transport == Transport::kSpdy ? "spdy " : "ws ") + upgrade->protocol;
}

const std::string kSpdyAsk = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
const std::string kWsAsk = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";

TEST(Negotiate, TakesTheClientsFirstOfferThatIsSpoken) {
  EXPECT_EQ(Spoken(kSpdyAsk + "X-Stream-Protocol-Version: v5.channel.k8s.io\r\n"
                              "X-Stream-Protocol-Version: v3.channel.k8s.io, v4.channel.k8s.io\r\n"),
            "spdy v3.channel.k8s.io");
  EXPECT_EQ(Spoken(kWsAsk + "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"), "ws v5.channel.k8s.io");
  EXPECT_EQ(Spoken(kWsAsk + "Sec-WebSocket-Protocol: x, v4.base64.channel.k8s.io\r\n"),
            "ws v4.base64.channel.k8s.io");
  EXPECT_EQ(Spoken(kWsAsk), "ws ");
  EXPECT_EQ(Spoken(kWsAsk + "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n", Purpose::kPortForward),
            "ws SPDY/3.1+portforward.k8s.io");
  EXPECT_EQ(Spoken(kSpdyAsk + "X-Stream-Protocol-Version: portforward.k8s.io\r\n", Purpose::kPortForward),
            "spdy portforward.k8s.io");
}

TEST(Negotiate, RefusesWithAReason) {
  EXPECT_THAT(Spoken(""), HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(Spoken(kSpdyAsk),
              HasSubstr("INVALID_ARGUMENT: the header X-Stream-Protocol-Version is missing"));
  EXPECT_THAT(Spoken(kSpdyAsk + "X-Stream-Protocol-Version: v9\r\n"), HasSubstr("PERMISSION_DENIED"));
  EXPECT_THAT(Spoken(kWsAsk + "Sec-WebSocket-Protocol: v9\r\n"), HasSubstr("spoken: v5.channel.k8s.io"));
  EXPECT_THAT(Spoken("Connection: Upgrade\r\nUpgrade: h2c\r\n"), HasSubstr("h2c"));
  EXPECT_THAT(Spoken(kSpdyAsk + "X-Stream-Protocol-Version: portforward.k8s.io\r\n"),
              HasSubstr("PERMISSION_DENIED"));
}

TEST(ParseTarget, KnowsThreeVerbsAndOneToken) {
  EXPECT_EQ(ParseTarget("/exec/abc")->token, "abc");
  EXPECT_EQ(ParseTarget("/attach/abc?x=y")->purpose, Purpose::kAttach);
  EXPECT_EQ(ParseTarget("/portforward/a-_b")->purpose, Purpose::kPortForward);
  for (const char* wrong : {"", "/", "/exec", "/exec/", "/exec/a/b", "/cri/exec/a", "exec/a"})
    EXPECT_FALSE(ParseTarget(wrong)) << wrong;
  EXPECT_FALSE(ParseTarget("/exec/" + std::string(65, 'a')));
}

TEST(HttpLimits, ALargeHeadIsRefused) {
  HttpRequestParser parser;
  LimitParser(&parser);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(Ask("X: " + std::string(64 << 10, 'x') + "\r\n")), error);
  EXPECT_EQ(error, boost::beast::http::error::header_limit);
}

TEST(ProtocolNames, TellVersionAndText) {
  EXPECT_EQ(VersionOf("v5.channel.k8s.io"), 5);
  EXPECT_EQ(VersionOf("channel.k8s.io"), 1);
  EXPECT_EQ(VersionOf(""), 1);
  EXPECT_TRUE(IsBase64("v4.base64.channel.k8s.io"));
  EXPECT_FALSE(IsBase64("v4.channel.k8s.io"));
}

}  // namespace
}  // namespace berth::cri::streaming
