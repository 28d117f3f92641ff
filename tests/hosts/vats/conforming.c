// The vat of the conformance suite in C: see tests/hosts/test_worker_kinds.py. Its state is in its memory, so that an
// upgrade begins anew. It reads as much of JSON as the suite's texts need.

#include "kernel.h"

#define OBJECTS 100
#define RELAYS 100

static char delivery[1 << 16];
static const char *end;
static char out[1 << 13];
static size out_length;

static long long counts[OBJECTS];
static long long objects = 1;
static long long pending;                // the result that waits for settle
static long long relays[RELAYS];         // by promise of ours, less the first: the result that its settlement goes to
static long long promises;
enum { FIRST_PROMISE = 5 };

EXPORT(alloc) char *alloc(size wanted) { return wanted <= sizeof delivery ? delivery : 0; }

// Reading -----------------------------------------------------------------------------------------

static int is_at(const char *at, const char *text) {
  for (; *text; at++, text++)
    if (at >= end || *at != *text) return 0;
  return 1;
}

// The place behind the first occurrence of a text, or 0.
static const char *find(const char *at, const char *text) {
  size length = 0;
  while (text[length]) length++;
  for (; at < end; at++)
    if (is_at(at, text)) return at + length;
  return 0;
}

static long long digits(const char *at) {
  long long value = 0;
  for (; at < end && *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
  return value;
}

// Writing -----------------------------------------------------------------------------------------

static void put(const char *text) {
  while (*text && out_length < sizeof out) out[out_length++] = *text++;
}

static void put_part(const char *from, const char *to) {
  while (from < to && out_length < sizeof out) out[out_length++] = *from++;
}

static void put_integer(long long value) {
  char reversed[20];
  size count = 0;
  do reversed[count++] = '0' + value % 10;
  while (value /= 10);
  while (count && out_length < sizeof out) out[out_length++] = reversed[--count];
}

static void begin(const char *text) {
  out_length = 0;
  put(text);
}

static void make_syscall(void) { kernel_syscall(out, out_length); }

static void begin_resolve(long long promise, const char *rest) {
  begin("[\"resolve\",[[\"p-");
  put_integer(promise);
  put(rest);
}

static void fulfill(long long promise, const char *from, const char *to) {
  begin_resolve(promise, "\",false,{\"body\":\"#");
  put_part(from, to);
  put("\",\"slots\":[]}]]]");
  make_syscall();
}

static void fulfill_text(long long promise, const char *text) {
  const char *to = text;
  while (*to) to++;
  fulfill(promise, text, to);
}

// What no vat should do: see tests/hosts/native/test_hostile_modules.py ----------------------------

__attribute__((noinline)) static int descend(int depth) {
  __asm__ volatile("" : "+r"(depth));
  int below = depth ? descend(depth + 2) : 0;
  __asm__ volatile("" : "+r"(below));
  return below + 1;
}

static void misbehave(const char *how) {
  counts[0] += 100;  // which must not be seen afterwards
  if (is_at(how, "spin"))
    for (;;) __asm__ volatile("");
  if (is_at(how, "recurse")) counts[0] = descend(1);
  if (is_at(how, "flood"))
    for (;;) kernel_store_get("a", 1);
  if (is_at(how, "trap")) __builtin_trap();
  if (is_at(how, "escape")) *(volatile char *)0xfffffff0 = 1;
}

// Takes all memory that it can get; how many pages of 64 KiB.
static long long hog(void) {
  long long pages = 0;
  while ((long)__builtin_wasm_memory_grow(0, 1) >= 0) pages++;
  return pages;
}

// Deliveries --------------------------------------------------------------------------------------

static void relay(const char *args, const char *args_end, long long result) {
  const char *slot = find(args_end, "\"slots\":[\""), *item = find(args, "\\\",");
  if (!slot || !item || promises >= RELAYS) return;
  long long promise = FIRST_PROMISE + promises;
  relays[promises++] = result;
  begin("[\"send\",\"");
  const char *slot_end = find(slot, "\"");
  put_part(slot, slot_end - 1);
  put("\",{\"methargs\":{\"body\":\"#[\\\"add\\\",[");
  put_part(item, args_end);
  put("]]\",\"slots\":[]},\"result\":\"p+");
  put_integer(promise);
  put("\"}]");
  make_syscall();
  begin("[\"subscribe\",\"p+");
  put_integer(promise);
  put("\"]");
  make_syscall();
}

static void answer(long long object, const char *method, long long result) {
  const char *args = find(method, ",["), *args_end = find(args, "]]\"") - 3;
  if (is_at(method, "add\\")) {
    begin_resolve(result, "\",false,{\"body\":\"#\\\"+");
    put_integer(++counts[object]);
    put("\\\"\",\"slots\":[]}]]]");
    make_syscall();
  } else if (is_at(method, "make\\")) {
    begin_resolve(result, "\",false,{\"body\":\"#\\\"$0.Alleged: Thing\\\"\",\"slots\":[\"o+");
    put_integer(objects++);
    put("\"]}]]]");
    make_syscall();
  } else if (is_at(method, "fail\\")) {
    begin_resolve(result, "\",true,{\"body\":\"#{\\\"#error\\\":");
    put_part(args, args_end);
    put(",\\\"errorId\\\":\\\"error:vat#1\\\",\\\"name\\\":\\\"ValueError\\\"}\",\"slots\":[]}]]]");
    make_syscall();
  } else if (is_at(method, "relay\\")) {
    relay(args, args_end, result);
  } else if (is_at(method, "wait\\")) {
    pending = result;
  } else if (is_at(method, "settle\\")) {
    fulfill(pending, args, args_end);
    fulfill_text(result, "\\\"#undefined\\\"");
  } else if (is_at(method, "hog\\")) {
    begin_resolve(result, "\",false,{\"body\":\"#\\\"+");
    put_integer(hog());
    put("\\\"\",\"slots\":[]}]]]");
    make_syscall();
  } else if (is_at(method, "misbehave\\")) {
    misbehave(args + 2);
  } else {
    fulfill_text(result, "\\\"here\\\"");
  }
}

static void hear(const char *at) {
  long long promise = digits(at) - FIRST_PROMISE;
  const char *settlement = find(at, "\",");
  if (promise < 0 || promise >= promises || !settlement) return;
  begin_resolve(relays[promise], "\",");
  put_part(settlement, end - 4);  // all but the brackets that end the delivery
  put("]]]");
  make_syscall();
}

EXPORT(deliver) int deliver(const char *text, size length) {
  end = text + length;
  const char *at = find(text, "[\"notify\",[[\"p+");
  if (at) {
    hear(at);
    return 0;
  }
  at = find(text, "[\"message\",\"o+");
  if (!at) return 0;
  long long object = digits(at);
  const char *method = find(at, "\"#[\\\""), *result = find(at, "\"result\":\"p-");
  if (method && result && object < objects && objects < OBJECTS) answer(object, method, digits(result));
  return 0;
}
