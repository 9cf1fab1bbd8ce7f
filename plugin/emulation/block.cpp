// See launch.cuh.
//
// Fibers jump from stack to stack, which the longjmp of a fortified libc, as compilers of some
// distributions ask for, takes for an error.
#undef _FORTIFY_SOURCE

#include "block.h"

#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <numeric>

namespace emulation {
namespace {

constexpr size_t kStack = 128 << 10;

// 0: threads and blocks as they are counted, 1: the other way round, else drawn with this seed
int64_t order = 0;

std::vector<SharedArray>& shared_arrays() {
  static std::vector<SharedArray> arrays;
  return arrays;
}

// Numbers 0 to n − 1 in the order that is set.
std::vector<unsigned> arranged(unsigned n, std::mt19937* shuffled, bool backward) {
  std::vector<unsigned> numbers(n);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (backward) std::reverse(numbers.begin(), numbers.end());
  if (shuffled != nullptr) std::shuffle(numbers.begin(), numbers.end(), *shuffled);
  return numbers;
}

}  // namespace

void remember(SharedArray array) { shared_arrays().push_back(array); }

Block& block() {
  static Block only;
  return only;
}

void Block::begin() {
  Block& self = block();
  (*self.kernel_)();
  self.wait(Thread::State::ended);
}

void Block::wait(Thread::State state) {
  Thread& mine = threads_[current_];
  mine.state = state;
  if (_setjmp(mine.left) == 0) _longjmp(scheduler_, 1);
}

// Runs a thread until it waits. swapcontext would save masks of signals, which takes most of the
// time.
void Block::go_on(Thread& thread) {
  if (_setjmp(scheduler_) != 0) return;
  if (thread.begun) _longjmp(thread.left, 1);
  thread.begun = true;
  setcontext(&thread.first);
}

void Block::barrier() { wait(Thread::State::barrier); }

const Lanes& Block::exchange(Operation operation, unsigned mask, uint64_t bits) {
  Thread& mine = threads_[current_];
  mine.operation = operation;
  mine.mask = mask;
  mine.bits = bits;
  wait(Thread::State::warp);
  return mine.received;
}

void Block::run(unsigned index, unsigned blocks, unsigned threads, size_t shared,
                const std::function<void()>& kernel, std::mt19937* shuffled, bool backward) {
  index_ = index;
  blocks_ = blocks;
  n_threads_ = threads;
  kernel_ = &kernel;
  shared_.resize((shared + sizeof(double) - 1) / sizeof(double));
  std::fill(shared_.begin(), shared_.end(), std::nan(""));
  for (const SharedArray& array : shared_arrays()) __builtin_memset(array.data, 0xff, array.size);
  if (threads_.size() < threads) threads_.resize(threads);
  for (unsigned k = 0; k < threads; ++k) {
    Thread& thread = threads_[k];
    if (thread.stack == nullptr) thread.stack.reset(new char[kStack]);
    thread.state = Thread::State::ready;
    thread.begun = false;
    getcontext(&thread.first);
    thread.first.uc_stack.ss_sp = thread.stack.get();
    thread.first.uc_stack.ss_size = kStack;
    makecontext(&thread.first, &Block::begin, 0);
  }
  while (true) {
    run_to_barrier(arranged(threads, shuffled, backward));
    const auto first = threads_.begin(), last = first + threads;
    if (std::all_of(first, last, [](const Thread& t) { return t.state == Thread::State::ended; }))
      return;
    const std::string why = release_barrier();
    TORCH_CHECK(why.empty(), "emulated kernel, block ", index, ": ", why);
  }
}

// It is always the first thread in the order that goes on, of those that can: lanes that wait for
// each other go as far as they can before others begin, since their warp is no barrier of a block.
void Block::run_to_barrier(const std::vector<unsigned>& order) {
  size_t at = 0;
  while (at < order.size()) {
    current_ = order[at];
    if (threads_[current_].state != Thread::State::ready) {
      ++at;
      continue;
    }
    go_on(threads_[current_]);
    if (release_lanes(current_)) at = 0;
  }
}

// Lets a thread and the lanes that it waits for go, once all have come to the same operation.
bool Block::release_lanes(unsigned waiting) {
  const Thread& thread = threads_[waiting];
  const unsigned mask = thread.mask, warp = waiting / 32 * 32;
  const auto in_mask = [&](unsigned lane) { return (mask >> lane & 1) != 0; };
  const auto same = [&](unsigned lane) {
    if (!in_mask(lane)) return true;
    if (warp + lane >= n_threads_) return false;
    const Thread& other = threads_[warp + lane];
    return other.state == Thread::State::warp && other.mask == mask &&
           other.operation == thread.operation;
  };
  if (thread.state != Thread::State::warp || !in_mask(waiting - warp)) return false;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!same(lane)) return false;
  }
  Lanes given{};
  // a lane outside the mask gives what nobody should read
  for (unsigned lane = 0; lane < 32; ++lane)
    given.bits[lane] = in_mask(lane) ? threads_[warp + lane].bits : ~uint64_t(0);
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!in_mask(lane)) continue;
    threads_[warp + lane].received = given;
    threads_[warp + lane].state = Thread::State::ready;
  }
  return true;
}

// Lets all threads pass the barrier that they have all come to, or says why they cannot go on.
std::string Block::release_barrier() {
  for (unsigned k = 0; k < n_threads_; ++k) {
    if (threads_[k].state == Thread::State::warp)
      return "thread " + std::to_string(k) +
             " waits for lanes of its warp that have ended or wait for something else";
  }
  for (unsigned k = 0; k < n_threads_; ++k) {
    if (threads_[k].state == Thread::State::ended)
      return "thread " + std::to_string(k) + " has ended where others wait at a barrier";
  }
  for (unsigned k = 0; k < n_threads_; ++k) threads_[k].state = Thread::State::ready;
  return "";
}

void run(int64_t blocks, int threads, size_t shared, const std::function<void()>& kernel) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  std::mt19937 generator(static_cast<unsigned>(order));
  std::mt19937* const shuffled = order > 1 ? &generator : nullptr;
  for (const unsigned index : arranged(static_cast<unsigned>(blocks), shuffled, order == 1))
    block().run(index, static_cast<unsigned>(blocks), static_cast<unsigned>(threads), shared,
                kernel, shuffled, order == 1);
}

}  // namespace emulation

TORCH_LIBRARY_FRAGMENT(openmm_pqeq_emulated, library) {
  library.def("order(int number) -> ()", [](int64_t number) { emulation::order = number; });
}
