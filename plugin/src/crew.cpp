#include "crew.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <thread>

namespace openmm_pqeq {
namespace {

// How often a thread looks before it sleeps: some 20 microseconds, about what waking it takes. The
// same as openmm_pqeq/start/waiting.py tells OpenMP.
constexpr int kTurns = 1000;

thread_local bool in_piece = false;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Condition>
bool soon(Condition condition) {
  for (int turn = 0; turn < kTurns; ++turn) {
    if (condition()) return true;
    pause();
  }
  return false;
}

Crew* the_crew = nullptr;

}  // namespace

Crew& Crew::of_process() {
  static const bool made = [] {
    the_crew = new Crew;
    pthread_atfork(nullptr, nullptr, [] { the_crew = new Crew; });
    return true;
  }();
  (void)made;
  return *the_crew;
}

void Crew::work(Job& job) {
  in_piece = true;
  try {
    for (int64_t first = job.next.fetch_add(job.size); first < job.end;
         first = job.next.fetch_add(job.size))
      job.piece(first, std::min(first + job.size, job.end));
  } catch (...) {
    job.next = job.end;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!job.failure) job.failure = std::current_exception();
  }
  in_piece = false;
}

// Under the mutex: nobody else begins with it.
void Crew::close(Job& job) {
  const auto place = std::find(jobs_.begin(), jobs_.end(), &job);
  if (place != jobs_.end()) jobs_.erase(place);
  n_jobs_ = static_cast<int>(jobs_.size());
}

void Crew::help() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [&] { return !jobs_.empty(); });
    Job& job = *jobs_.back();
    ++job.helpers;
    if (--job.places == 0) close(job);
    lock.unlock();
    work(job);
    lock.lock();
    close(job);  // it has no pieces left
    const bool last = --job.helpers == 0;
    lock.unlock();  // from here on the job may be gone
    if (last) left_.notify_all();
    soon([&] { return n_jobs_ > 0; });
    lock.lock();
  }
}

// Under the mutex; a system that gives no more threads leaves us with those that there are.
void Crew::hire(int n_helpers) {
  try {
    for (; n_helpers_ < n_helpers; ++n_helpers_) std::thread([this] { help(); }).detach();
  } catch (const std::system_error&) {
  }
}

void Crew::run(int64_t begin, int64_t end, int64_t size, int n_threads, const Piece& piece) {
  if (begin >= end) return;
  const int64_t n_pieces = (end - begin + size - 1) / size;
  const int n_helpers = static_cast<int>(std::min<int64_t>(n_threads, n_pieces)) - 1;
  if (n_helpers < 1 || in_piece) {
    for (int64_t first = begin; first < end; first += size)
      piece(first, std::min(first + size, end));
    return;
  }
  Job job{piece, end, size, {begin}, {0}, n_helpers, nullptr};
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    hire(n_helpers);
    jobs_.push_back(&job);
    n_jobs_ = static_cast<int>(jobs_.size());
  }
  for (int k = 0; k < n_helpers; ++k) wanted_.notify_one();
  work(job);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    close(job);
  }
  if (!soon([&] { return job.helpers == 0; })) {
    std::unique_lock<std::mutex> lock(mutex_);
    left_.wait(lock, [&] { return job.helpers == 0; });
  }
  // a helper that has left without its lock is past its last look at the job
  if (job.failure) std::rethrow_exception(job.failure);
}

}  // namespace openmm_pqeq
