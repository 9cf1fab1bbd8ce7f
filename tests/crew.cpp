// What tests/test_crew.py asks of plugin/src/crew.h.
#include "../plugin/src/crew.cpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <numeric>
#include <set>
#include <stdexcept>

using openmm_pqeq::Crew;

namespace {

bool each_once(Crew& crew, int64_t begin, int64_t end, int64_t size, int n_threads) {
  std::vector<std::atomic<int>> calls(end);
  crew.run(begin, end, size, n_threads, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) ++calls[k];
  });
  for (int64_t k = 0; k < end; ++k)
    if (calls[k] != (k >= begin)) return false;
  return true;
}

// Whether so many threads take pieces while the others are held in theirs, for 20 s at most.
bool comes_to_help(Crew& crew, int n_threads = 2) {
  std::atomic<int> begun{0};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  crew.run(0, n_threads, 1, n_threads, [&](int64_t, int64_t) {
    ++begun;
    while (begun < n_threads && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    if (begun < n_threads) begun = -n_threads;
  });
  return begun == n_threads;
}

}  // namespace

extern "C" {

// Every number of a range once, whatever the pieces and threads.
bool covers() {
  for (const int n_threads : {1, 2, 3, 8})
    for (const int64_t size : {1, 7, 100, 1000})
      if (!each_once(Crew::of_process(), 3, 503, size, n_threads)) return false;
  return each_once(Crew::of_process(), 5, 5, 1, 2);
}

// Two loops, one helper: while it and the thread of the first loop are held in their pieces, the
// second loop is done by its own thread; the first one waits for the piece that was taken.
bool nobody_waits_for_who_has_not_come() {
  Crew& crew = *new Crew;
  std::atomic<int> held{0};
  std::atomic<bool> released{false}, first_done{false};
  std::thread first([&] {
    crew.run(0, 2, 1, 2, [&](int64_t, int64_t) {
      ++held;
      while (!released) std::this_thread::yield();
    });
    first_done = true;
  });
  while (held < 2) std::this_thread::yield();
  auto second = std::async(std::launch::async, [&] { return each_once(crew, 0, 64, 1, 2); });
  const bool finished = second.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  const bool waited = !first_done;
  released = true;
  first.join();
  return second.get() && finished && waited;
}

// An exception comes to who called, once, and the next loop is as ever.
bool failures_arrive() {
  Crew& crew = Crew::of_process();
  for (int turn = 0; turn < 200; ++turn) {
    bool arrived = false;
    try {
      crew.run(0, 100, 1, 2, [&](int64_t first, int64_t) {
        if (first == turn % 100) throw std::runtime_error("as asked");
      });
    } catch (const std::runtime_error&) {
      arrived = true;
    }
    if (!arrived || !each_once(crew, 0, 100, 3, 2)) return false;
  }
  return true;
}

// Nothing is begun that a failure makes useless: 1,000 pieces of a millisecond, the first fails.
bool stops_at_a_failure() {
  std::atomic<int> calls{0};
  try {
    Crew::of_process().run(0, 1000, 1, 2, [&](int64_t first, int64_t) {
      if (first == 0) throw std::runtime_error("as asked");
      ++calls;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  } catch (const std::runtime_error&) {
    return calls < 999;
  }
  return false;
}

// In as many threads as were asked for at most, though three helpers have just ended another loop
// and look for the next one.
bool keeps_to_its_threads() {
  Crew& crew = *new Crew;
  for (const int n_threads : {1, 2, 3}) {
    if (!comes_to_help(crew, 4)) return false;
    std::mutex mutex;
    std::set<std::thread::id> seen;
    crew.run(0, 12, 1, n_threads, [&](int64_t, int64_t) {
      const std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    });
    if (static_cast<int>(seen.size()) > n_threads) return false;
  }
  return true;
}

// Helpers are hired once.
bool hires_once() {
  const auto n_threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  if (!std::filesystem::exists("/proc/self/task")) return true;
  Crew& crew = *new Crew;
  const auto before = n_threads();
  for (int turn = 0; turn < 20; ++turn) each_once(crew, 0, 30, 1, 3);
  return n_threads() - before == 2;
}

// Without memory for a thread the caller does it all: in a child, which ends by itself.
bool works_without_threads() {
  const pid_t child = fork();
  if (child == 0) {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * sysconf(_SC_PAGESIZE) + (rlim_t{1} << 22);
    const rlimit limits{limit, limit};
    if (pages > 0) setrlimit(RLIMIT_AS, &limits);
    _exit(each_once(*new Crew, 0, 500, 1, 200) ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

// A loop within a piece is one of its thread alone.
bool nests() {
  Crew& crew = Crew::of_process();
  std::atomic<int> calls{0}, strangers{0};
  crew.run(0, 8, 1, 2, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    crew.run(0, 50, 5, 2, [&](int64_t first, int64_t last) {
      calls += static_cast<int>(last - first);
      strangers += std::this_thread::get_id() != self;
    });
  });
  return calls == 400 && strangers == 0;
}

// A child of a fork has none of its parent's threads, and gets its own.
bool works_in_a_child() {
  if (!comes_to_help(Crew::of_process())) return false;
  const pid_t child = fork();
  if (child == 0) _exit(comes_to_help(Crew::of_process()) ? 0 : 1);
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

// Loops of several threads at a time.
bool serves_many() {
  std::vector<std::future<bool>> callers;
  for (int k = 0; k < 3; ++k)
    callers.push_back(std::async(std::launch::async, [k] {
      for (int turn = 0; turn < 3000; ++turn)
        if (!each_once(Crew::of_process(), 0, 40, 1 + k, 2 + k)) return false;
      return true;
    }));
  bool all = true;
  for (auto& caller : callers) all = caller.get() && all;
  return all;
}
}
