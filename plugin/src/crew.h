// A loop over pieces of a range, by several threads, in which nobody waits for a thread that has
// not come.
//
// The thread that calls takes one piece after the other; helpers that are awake take others. At the
// end it waits for pieces that somebody has taken and not yet done, and for nothing else. In OpenMP
// every thread of a team has to come to the end of a loop: where other programs want the
// processors, a thread that slept waits for one, milliseconds at a time, and all others wait for
// it; a step of a potential is some hundred such loops.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

namespace openmm_pqeq {

using Piece = std::function<void(int64_t, int64_t)>;

class Crew {
 public:
  // Calls piece(first, last) for ranges that together are [begin, end), each of `size` but for the
  // last, in at most n_threads threads, the calling one among them. The first exception is thrown
  // again once all have stopped. A call from within a piece is one of its thread alone.
  void run(int64_t begin, int64_t end, int64_t size, int n_threads, const Piece& piece);

  // The one of this process. It is never destroyed, as its threads end with the process alone, and
  // made anew in a child of a fork, which has none of them.
  static Crew& of_process();

 private:
  struct Job {
    const Piece& piece;
    const int64_t end, size;
    std::atomic<int64_t> next;
    std::atomic<int> helpers{0};  // at work on it; changed under the mutex
    int places;                   // for further helpers
    std::exception_ptr failure;   // under the mutex
  };

  void work(Job& job);
  void help();
  void hire(int n_helpers);
  void close(Job& job);

  std::mutex mutex_;
  std::condition_variable wanted_, left_;
  std::vector<Job*> jobs_;      // with places
  std::atomic<int> n_jobs_{0};  // how many these are
  int n_helpers_ = 0;
};

}  // namespace openmm_pqeq
