// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "cri/streaming/spdy_frames.h"
#include "cri/streaming/spdy_headers.h"
#include "cri/streaming/spdy_session.h"

namespace berth::cri::streaming {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Big32(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

std::string SynStream(std::uint32_t id, std::string_view block, std::uint8_t flags = 0) {
  return ControlFrame(FrameType::kSynStream, flags,
                      (Big32(id) + Big32(0) + std::string(2, '\0')).append(block));
}

std::string Data(std::uint32_t id, const std::string& text, bool fin = false) {
  return DataHead(id, text.size(), fin) + text;
}

TEST(SpdyDictionary, IsTheOneOfTheProtocol) {
  // Its length, and the checksum by which zlib streams name it.
  EXPECT_EQ(SpdyDictionary().size(), 1423U);
  const auto* bytes = reinterpret_cast<const Bytef*>(SpdyDictionary().data());
  EXPECT_EQ(::adler32(::adler32(0, nullptr, 0), bytes, static_cast<uInt>(SpdyDictionary().size())),
            0xe3c6a7c2U);
}

TEST(SpdyHeaders, SurviveBlockAfterBlock) {
  HeaderWriter writer;
  HeaderReader reader;
  for (int i = 0; i < 3; ++i) {
    const Headers headers{{"streamtype", "stdin"}, {"port", std::to_string(i)}};
    const auto read = reader.Read(writer.Write(headers));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, headers);
  }
}

TEST(SpdyHeaders, NamesAreLowerCaseWhateverWasSent) {
  HeaderWriter writer;
  HeaderReader reader;
  const auto read = reader.Read(writer.Write({{"StreamType", "ERROR"}}));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(HeaderValue(*read, "streamtype"), "ERROR");
  EXPECT_EQ(HeaderValue(*read, "other"), "");
}

TEST(SpdyHeaders, ABombIsRefusedAtTheLimit) {
  HeaderWriter writer;
  HeaderReader reader;
  const std::string bomb = writer.Write({{"a", std::string(1 << 20, 'x')}});
  EXPECT_LT(bomb.size(), std::size_t{16} << 10);
  EXPECT_THAT(std::string(reader.Read(bomb).status().message()),
              HasSubstr("inflates to more than 32768 bytes"));
}

TEST(SpdyHeaders, RefusesWhatIsNotZlibAndWhatIsCutShort) {
  HeaderReader reader;
  EXPECT_FALSE(reader.Read("this is no zlib stream").ok());
  EXPECT_FALSE(ParseHeaderBlock("").ok());
  EXPECT_FALSE(ParseHeaderBlock(Big32(1) + Big32(5) + "ab").ok());
  EXPECT_FALSE(ParseHeaderBlock(Big32(1) + Big32(0xffffffff) + "ab").ok());
  EXPECT_FALSE(ParseHeaderBlock(Big32(1) + Big32(0) + Big32(0)).ok()) << "a name is never empty";
  EXPECT_FALSE(ParseHeaderBlock(Big32(0) + "x").ok());
  EXPECT_FALSE(ParseHeaderBlock(Big32(65)).ok());
  EXPECT_TRUE(ParseHeaderBlock(Big32(0)).ok());
}

// What a parser found, as lines.
struct Noted : FrameSink {
  std::vector<std::string> lines;
  absl::Status OnControl(std::uint16_t type, std::uint8_t flags, std::string_view content) override {
    lines.push_back("control " + std::to_string(type) + " " + std::to_string(flags) + " " +
                    std::string(content));
    return absl::OkStatus();
  }
  absl::Status OnData(std::uint32_t stream, std::string_view part, bool fin) override {
    lines.push_back("data " + std::to_string(stream) + " " + std::string(part) + (fin ? " fin" : ""));
    return absl::OkStatus();
  }
};

TEST(SpdyFrames, AreFoundWhereverTheBytesAreCut) {
  const std::string bytes = ControlFrame(FrameType::kPing, 0, "abcd") + Data(3, "hello", true) +
                            Data(5, "", true) + ControlFrame(FrameType::kSettings, 1, "");
  Noted whole;
  ASSERT_TRUE(FrameParser(whole).Feed(bytes).ok());
  EXPECT_THAT(whole.lines,
              ElementsAre("control 6 0 abcd", "data 3 hello fin", "data 5  fin", "control 4 1 "));
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    Noted parts;
    FrameParser parser(parts);
    ASSERT_TRUE(parser.Feed(std::string_view(bytes).substr(0, cut)).ok());
    ASSERT_TRUE(parser.Feed(std::string_view(bytes).substr(cut)).ok());
    std::string joined;
    for (const auto& line : parts.lines) joined += line;
    EXPECT_THAT(joined, HasSubstr("control 6 0 abcd"));
    EXPECT_THAT(joined, HasSubstr("data 5  fincontrol 4 1 "));
  }
}

TEST(SpdyFrames, RefusesOtherVersionsAndLongControlFrames) {
  Noted noted;
  EXPECT_THAT(
      std::string(FrameParser(noted).Feed(std::string("\x80\x02\x00\x06\x00\x00\x00\x00", 8)).message()),
      HasSubstr("version 2"));
  EXPECT_EQ(FrameParser(noted).Feed(std::string("\x80\x03\x00\x06\x00\x10\x00\x00", 8)).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(noted.lines, IsEmpty());
}

class SpdySessionTest : public testing::Test {
 protected:
  SpdySessionTest() {
    SpdySession::Events events;
    events.accepts = [this](const Headers& headers) {
      return HeaderValue(headers, "refuse").empty() && accepting_;
    };
    events.opened = [this](std::uint32_t id, const Headers& headers) {
      Note("opened " + std::to_string(id) + " " + HeaderValue(headers, "streamtype"));
    };
    events.data = [this](std::uint32_t id, std::string_view bytes) {
      Note("data " + std::to_string(id) + " " + std::string(bytes));
    };
    events.half_closed = [this](std::uint32_t id) { Note("half " + std::to_string(id)); };
    events.reset = [this](std::uint32_t id) { Note("reset " + std::to_string(id)); };
    events.send = [this](const std::string& head, const std::string& body) { sent_ += head + body; };
    session_ = std::make_unique<SpdySession>(2, std::move(events));
  }
  void Note(const std::string& line) { lines_.push_back(line); }
  absl::Status Open(std::uint32_t id, std::uint8_t flags = 0,
                    const Headers& headers = {{"streamtype", "stdin"}}) {
    return session_->Feed(SynStream(id, writer_.Write(headers), flags));
  }
  // What was sent since the last look, as the client's parser sees it.
  std::vector<std::string> Sent() {
    Noted noted;
    EXPECT_TRUE(FrameParser(noted).Feed(sent_).ok());
    sent_.clear();
    return noted.lines;
  }

  std::unique_ptr<SpdySession> session_;
  HeaderWriter writer_;
  std::vector<std::string> lines_;
  std::string sent_;
  bool accepting_ = true;
};

TEST_F(SpdySessionTest, AnswersAStreamThenTellsOfItsData) {
  ASSERT_TRUE(Open(1).ok());
  ASSERT_TRUE(session_->Feed(Data(1, "hello", true)).ok());
  EXPECT_THAT(lines_, ElementsAre("opened 1 stdin", "data 1 hello", "half 1"));
  EXPECT_THAT(Sent(), ElementsAre(HasSubstr("control 2 0 " + Big32(1))));
}

TEST_F(SpdySessionTest, AStreamIsGoneWhenBothSidesHaveEnded) {
  ASSERT_TRUE(Open(1).ok());
  Sent();
  session_->Send(1, "out");
  session_->Fin(1);
  session_->Send(1, "late");
  EXPECT_TRUE(session_->open(1));
  ASSERT_TRUE(session_->Feed(Data(1, "", true)).ok());
  EXPECT_FALSE(session_->open(1));
  EXPECT_THAT(Sent(), ElementsAre("data 1 out", "data 1  fin"));
}

TEST_F(SpdySessionTest, PingsAreAnsweredButNotAnswers) {
  ASSERT_TRUE(session_->Feed(PingFrame(7) + PingFrame(8)).ok());
  EXPECT_THAT(Sent(), ElementsAre("control 6 0 " + Big32(7)));
}

TEST_F(SpdySessionTest, StreamsBeyondTheLimitOrUnwantedAreRefusedAlone) {
  ASSERT_TRUE(Open(1).ok());
  ASSERT_TRUE(Open(3, 0, {{"refuse", "me"}}).ok());
  ASSERT_TRUE(Open(5).ok());
  ASSERT_TRUE(Open(7).ok());
  EXPECT_THAT(lines_, ElementsAre("opened 1 stdin", "opened 5 stdin"));
  EXPECT_FALSE(session_->open(3));
  EXPECT_FALSE(session_->open(7));
  // Data that was under way for a refused stream is no mistake.
  EXPECT_TRUE(session_->Feed(Data(7, "x")).ok());
}

TEST_F(SpdySessionTest, ResetsEndAStreamFromEitherSide) {
  ASSERT_TRUE(Open(1).ok());
  ASSERT_TRUE(Open(3).ok());
  Sent();
  ASSERT_TRUE(session_->Feed(RstStreamFrame(1, ResetReason::kCancel)).ok());
  EXPECT_THAT(lines_, testing::Contains("reset 1"));
  session_->Reset(3, ResetReason::kInternalError);
  session_->Reset(3, ResetReason::kInternalError);
  session_->Send(1, "nobody reads it");
  EXPECT_THAT(Sent(), ElementsAre(HasSubstr("control 3 0 " + Big32(3))));
}

TEST_F(SpdySessionTest, BreaksOffOnWhatNoClientSends) {
  EXPECT_FALSE(session_->Feed(Data(9, "x")).ok()) << "data for a stream that was never opened";
  ASSERT_TRUE(Open(3).ok());
  EXPECT_FALSE(Open(3).ok()) << "opened twice";
  EXPECT_FALSE(Open(2).ok()) << "a server's number";
  EXPECT_FALSE(session_->Feed(ControlFrame(FrameType::kSynStream, 0, "short")).ok());
  EXPECT_FALSE(session_->Feed(ControlFrame(FrameType::kRstStream, 0, "short")).ok());
  EXPECT_THAT(Sent(), testing::Contains(HasSubstr("control 7 0")));
}

TEST_F(SpdySessionTest, LongOutputIsCutIntoFrames) {
  ASSERT_TRUE(Open(1).ok());
  Sent();
  session_->Send(1, std::string((1 << 20) + 5, 'x'), true);
  const auto frames = Sent();
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_THAT(frames[1], testing::EndsWith("xxxxx fin"));
}

TEST_F(SpdySessionTest, HeadersOfLaterFramesKeepTheCompressionInStep) {
  ASSERT_TRUE(Open(1).ok());
  ASSERT_TRUE(
      session_->Feed(ControlFrame(FrameType::kHeaders, 0, Big32(1) + writer_.Write({{"x", "y"}}))).ok());
  ASSERT_TRUE(Open(3).ok());
  EXPECT_THAT(lines_, ElementsAre("opened 1 stdin", "opened 3 stdin"));
}

}  // namespace
}  // namespace berth::cri::streaming
