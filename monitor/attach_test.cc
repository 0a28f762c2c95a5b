// SPDX-License-Identifier: Apache-2.0
#include "monitor/attach.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/files.h"
#include "monitor/log_streams.h"

namespace berth::monitor {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    read.Reset(ends[0]);
    write.Reset(ends[1]);
  }
  base::UniqueFd read, write;
};

// Different everywhere, so that what is missing or out of place shows.
std::string Text(std::size_t size) {
  std::string text;
  const std::string filling = std::string(100, '.') + "\n";
  text.reserve(size + 2 * filling.size());
  for (std::uint64_t line = 0; text.size() < size; ++line) text += std::to_string(line) + filling;
  text.resize(size);
  return text;
}

// What is there now.
std::string ReadAll(const base::UniqueFd& fd, std::size_t most = SIZE_MAX) {
  std::string all;
  std::string part(64 * 1024, '\0');
  while (all.size() < most) {
    const ssize_t got = ::read(fd.get(), part.data(), std::min(part.size(), most - all.size()));
    if (got <= 0) break;
    all.append(part, 0, static_cast<std::size_t>(got));
  }
  return all;
}

std::ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

bool AtEnd(const base::UniqueFd& fd) {
  char one = 0;
  return ::read(fd.get(), &one, 1) == 0;
}

class AttachmentsTest : public testing::Test {
 protected:
  AttachmentsTest() {
    ::signal(SIGPIPE, SIG_IGN);  // as the monitor does
    EXPECT_TRUE(loop_.Open());
  }

  // The loop's turns, one step after each, until a step returns false. The loop never has to wait.
  void Turns(const std::function<bool()>& step) {
    const base::UniqueFd always(::eventfd(1, EFD_CLOEXEC));
    ASSERT_TRUE(loop_.Watch(always.get(), EPOLLIN, [&](std::uint32_t) {
      if (!step()) loop_.Stop();
    }));
    loop_.Run();
    loop_.Unwatch(always.get());
  }
  void Turns(int count) {
    Turns([&] { return --count > 0; });
  }

  // The ends that the client gave away.
  struct Given {
    base::UniqueFd in = base::UniqueFd(), out = base::UniqueFd(), err = base::UniqueFd();
  };
  void Add(const std::string& id, Given given) {
    attached_->Add(id, Attachments::Pipes{std::move(given.in), std::move(given.out), std::move(given.err)});
  }
  base::UniqueFd AddOutput(const std::string& id) {
    Pipe pipe;
    Add(id, {.out = std::move(pipe.write)});
    return std::move(pipe.read);
  }
  void Write(std::string_view text) {
    for (; !text.empty(); text.remove_prefix(std::min(text.size(), kStep)))
      attached_->Take("stdout", text.substr(0, kStep));
  }
  // What a client gets that reads when there is something, until the loop has nothing more for it.
  std::string ReadOn(const base::UniqueFd& fd) {
    std::string all;
    int quiet = 0;
    Turns([&] {
      const std::string more = ReadAll(fd);
      all += more;
      quiet = more.empty() ? quiet + 1 : 0;
      return quiet < 4;
    });
    return all;
  }

  static constexpr std::size_t kStep = 64 * 1024;
  Loop loop_;
  int ends_of_input_ = 0;
  std::shared_ptr<Attachments> attached_ = std::make_shared<Attachments>(loop_, [this] { ++ends_of_input_; });
};

TEST_F(AttachmentsTest, AClientThatNeverReadsHoldsUpNeitherTheContainerNorItsLog) {
  char pattern[] = "/tmp/berth-test-attach-XXXXXX";
  const base::UniqueFd log(::mkostemp(pattern, O_CLOEXEC));
  LogWriter writer([](std::uint64_t) {});
  ASSERT_TRUE(writer.Open(pattern));
  ::unlink(pattern);
  LogStreams streams(loop_, writer, [this](const std::string& stream, std::string_view bytes) {
    attached_->Take(stream, bytes);
  });
  Pipe container;
  ASSERT_EQ(::fcntl(container.write.get(), F_SETPIPE_SZ, kStep), static_cast<int>(kStep));
  ASSERT_TRUE(streams.Add(std::move(container.read), "stdout"));
  const base::UniqueFd never_read = AddOutput("asleep");

  const std::string line = std::string(1023, 'x') + "\n";
  constexpr std::size_t kLines = 16 * 1024;
  std::size_t written = 0;
  std::size_t idle_turns = 0;  // the container's pipe was full for all that the loop had done
  Turns([&] {
    const std::size_t before = written;
    while (written<kLines&& ::write(container.write.get(), line.data(), line.size())> 0) ++written;
    if (written == before) ++idle_turns;
    return written < kLines && idle_turns < 1000;
  });
  EXPECT_EQ(written, kLines) << "the container's output is read no further";
  streams.DrainAndClose();
  const std::size_t stamp = std::string("2023-11-14T22:13:20.000000007Z stdout F ").size();
  EXPECT_EQ(::lseek(log.get(), 0, SEEK_END), static_cast<off_t>(kLines * (stamp + line.size())));
}

TEST_F(AttachmentsTest, AClientThatIsALittleLateMissesNothing) {
  const base::UniqueFd late = AddOutput("late");
  const std::string text = Text(3 << 19);  // more than its pipe takes
  Write(text);
  EXPECT_EQ(ReadOn(late), text);
  Write("and on\n");
  EXPECT_EQ(ReadOn(late), "and on\n");
}

TEST_F(AttachmentsTest, AClientThatIsTooLateIsToldHowMuchItMissedAndGetsTheNewest) {
  const base::UniqueFd late = AddOutput("late");
  const std::string text = Text(8 << 20);
  Write(text);  // and then nothing more, ever
  const std::string got = ReadOn(late);
  const std::size_t note = got.find("\r\n[berth: ");
  ASSERT_NE(note, std::string::npos);
  const std::size_t rest = got.find("]\r\n", note) + 3;
  EXPECT_EQ(got.substr(0, note), text.substr(0, note));
  EXPECT_THAT(text, EndsWith(got.substr(rest)));
  EXPECT_GE(got.size() - rest, std::size_t{256} << 10);
  const std::size_t missing = text.size() - note - (got.size() - rest);
  EXPECT_THAT(got.substr(note, rest - note), HasSubstr(" " + std::to_string(missing) + " bytes are missing"));
  EXPECT_EQ(got.find("[berth: ", rest), std::string::npos);
}

TEST_F(AttachmentsTest, AClientThatIsAlwaysTooSlowIsToldSeldom) {
  const base::UniqueFd slow = AddOutput("slow");
  const std::string text = Text(8 << 20);
  std::string got;
  std::size_t at = 0;
  Turns([&] {  // it takes 4 KiB of 64
    Write(text.substr(at, kStep));
    at += kStep;
    got += ReadAll(slow, 4096);
    return at < text.size();
  });
  got += ReadOn(slow);
  std::size_t notes = 0;
  for (std::size_t i = got.find("[berth: "); i != std::string::npos; i = got.find("[berth: ", i + 1)) ++notes;
  EXPECT_GE(notes, 1U);
  EXPECT_LE(notes, text.size() >> 19) << "once in half a MiB at most";
  EXPECT_THAT(got, EndsWith(text.substr(text.size() - 4096)));
}

TEST_F(AttachmentsTest, OthersMissNothingThroughASlowOne) {
  const base::UniqueFd never_read = AddOutput("asleep");
  const base::UniqueFd reading = AddOutput("awake");
  const std::string text = Text(8 << 20);
  std::string got;
  for (std::size_t at = 0; at < text.size(); at += kStep) {
    Write(text.substr(at, kStep));
    got += ReadAll(reading);
  }
  EXPECT_TRUE(got == text) << got.size() << " bytes of " << text.size();
}

TEST_F(AttachmentsTest, OutputsAreApartAndOnlyTheOnesAskedForAreCarried) {
  Pipe both_out, both_err, err_only;
  Add("both", {.out = std::move(both_out.write), .err = std::move(both_err.write)});
  Add("err", {.err = std::move(err_only.write)});
  attached_->Take("stdout", "out");
  attached_->Take("stderr", "err");
  EXPECT_EQ(ReadAll(both_out.read), "out");
  EXPECT_EQ(ReadAll(both_err.read), "err");
  EXPECT_EQ(ReadAll(err_only.read), "err");
}

TEST_F(AttachmentsTest, AClientThatLeavesIsForgottenAndTheOthersStay) {
  const base::UniqueFd stays = AddOutput("stays");
  const std::ptrdiff_t before = OpenDescriptors();
  base::UniqueFd leaves = AddOutput("leaves");
  Write(Text(2 << 20));
  (void)ReadOn(stays);
  leaves.Reset();
  Turns(3);
  EXPECT_EQ(OpenDescriptors(), before) << "its pipe is held";
  Write("still here\n");
  EXPECT_EQ(ReadOn(stays), "still here\n");
}

TEST_F(AttachmentsTest, TheContainersEndClosesAtOnceWhoHasItAllAndTheOthersWhenTheyHave) {
  const base::UniqueFd late = AddOutput("late");
  const std::string text = Text(3 << 19);
  Write(text);
  const base::UniqueFd new_one = AddOutput("new");
  Write("last words\n");
  attached_->Finish();
  attached_.reset();
  EXPECT_EQ(ReadAll(new_one), "last words\n");
  EXPECT_TRUE(AtEnd(new_one));
  EXPECT_EQ(ReadOn(late), text + "last words\n");
  EXPECT_TRUE(AtEnd(late));
}

class AttachedInput : public AttachmentsTest {
 protected:
  AttachedInput() { attached_->SetStdin(stdin_.write.get()); }
  base::UniqueFd AddInput(const std::string& id) {
    Pipe pipe;
    Add(id, {.in = std::move(pipe.read)});
    return std::move(pipe.write);
  }
  Pipe stdin_;
};

TEST_F(AttachedInput, OfAllClientsGoesToTheContainer) {
  const base::UniqueFd one = AddInput("one"), two = AddInput("two");
  ASSERT_EQ(::write(one.get(), "first ", 6), 6);
  Turns(3);
  ASSERT_EQ(::write(two.get(), "second", 6), 6);
  Turns(3);
  EXPECT_EQ(ReadAll(stdin_.read), "first second");
}

TEST_F(AttachedInput, WaitsInTheClientsPipeWhileTheContainerTakesNone) {
  const base::UniqueFd client = AddInput("client");
  const std::string text = Text(4 << 20);
  std::size_t sent = 0;
  std::size_t quiet = 0;
  const auto send = [&] {
    const ssize_t put = ::write(client.get(), text.data() + sent, std::min(text.size() - sent, kStep));
    if (put > 0) sent += static_cast<std::size_t>(put);
    return put > 0;
  };
  Turns([&] {
    quiet = send() ? 0 : quiet + 1;
    return quiet < 8;
  });
  EXPECT_LT(sent, std::size_t{512} << 10) << "somebody holds more than pipes do";
  std::string got;
  quiet = 0;
  Turns([&] {
    (void)send();
    const std::string more = ReadAll(stdin_.read);
    got += more;
    quiet = more.empty() ? quiet + 1 : 0;
    return got.size() < text.size() && quiet < 8;
  });
  EXPECT_TRUE(got == text) << got.size() << " bytes of " << text.size();
}

TEST_F(AttachedInput, EndsTheContainersOnlyWhereItIsTheLastAndWasRead) {
  base::UniqueFd visitor = AddInput("visitor"), last = AddInput("last");
  ASSERT_EQ(::write(visitor.get(), "a", 1), 1);
  visitor.Reset();
  Turns(4);
  EXPECT_EQ(ends_of_input_, 0);
  ASSERT_EQ(::write(last.get(), "b", 1), 1);
  attached_->InputIsLast("last");
  attached_->InputIsLast("nobody");
  Turns(4);
  EXPECT_EQ(ends_of_input_, 0) << "it has not ended yet";
  last.Reset();
  Turns(4);
  EXPECT_EQ(ends_of_input_, 1);
  EXPECT_EQ(ReadAll(stdin_.read), "ab");
}

TEST_F(AttachedInput, IsRefusedWhenTheContainerHasNoneAnyMore) {
  const base::UniqueFd early = AddInput("early");
  attached_->SetStdin(-1);
  const base::UniqueFd late = AddInput("late");
  for (const base::UniqueFd* client : {&early, &late}) {
    EXPECT_EQ(::write(client->get(), "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
  }
}

TEST_F(AttachedInput, EndsWithTheContainersReader) {
  const base::UniqueFd client = AddInput("client");
  stdin_.read.Reset();
  ASSERT_EQ(::write(client.get(), "x", 1), 1);
  Turns(3);
  EXPECT_EQ(::write(client.get(), "x", 1), -1);
  EXPECT_EQ(ends_of_input_, 0);
}

}  // namespace
}  // namespace berth::monitor
