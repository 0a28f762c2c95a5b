// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace berth::network {

// Turns single answers of STATUS into a steady verdict: a plugin's daemon that restarts must not flap the
// node. The first answer counts at once; after that it takes three failures in a row to fall, two successes
// in a row to come back.
class Readiness {
 public:
  static constexpr int kFailuresToFall = 3;
  static constexpr int kSuccessesToRise = 2;

  // Another network: nothing is known.
  void Reset() { *this = Readiness(); }
  // The verdict after this answer.
  bool Observe(bool success) {
    if (!known_) {
      known_ = true;
      ready_ = success;
    } else if (success == ready_) {
      streak_ = 0;
    } else if (++streak_ >= (ready_ ? kFailuresToFall : kSuccessesToRise)) {
      ready_ = success;
      streak_ = 0;
    }
    return ready_;
  }
  bool known() const { return known_; }
  bool ready() const { return ready_; }
  // No contradicting answers are being counted.
  bool steady() const { return streak_ == 0; }

 private:
  bool known_ = false;
  bool ready_ = false;
  int streak_ = 0;
};

}  // namespace berth::network
