// The counter of examples/counter as a wasm vat in C. It makes the very same syscalls; its counts are in the vat store, one
// key for each object, and the heap holds nothing from one delivery to the next.

#include "kernel.h"

static char delivery[1 << 17];
static const char *end;
static char out[1 << 12];
static size out_length;

EXPORT(alloc) char *alloc(size wanted) { return wanted <= sizeof delivery ? delivery : 0; }

static size length_of(const char *text) {
  size length = 0;
  while (text[length]) length++;
  return length;
}

// Reading -----------------------------------------------------------------------------------------

static int is_at(const char *at, const char *text) {
  for (; *text; at++, text++)
    if (at >= end || *at != *text) return 0;
  return 1;
}

// The place behind the first occurrence of a text, or 0.
static const char *find(const char *at, const char *text) {
  for (; at < end; at++)
    if (is_at(at, text)) return at + length_of(text);
  return 0;
}

static long long digits(const char *at) {
  long long value = 0;
  for (; at < end && *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
  return value;
}

// The first integer, such as +5 or -5, in what remains of the body; or another value if there is none.
static long long integer(const char *at, long long otherwise) {
  for (; at < end; at++) {
    if (*at == '+') return digits(at + 1);
    if (*at == '-') return -digits(at + 1);
    if (*at == '"' && at[-1] != '\\') break;
  }
  return otherwise;
}

// Writing -----------------------------------------------------------------------------------------

static void begin(void) { out_length = 0; }

static void put(const char *text) {
  while (*text) out[out_length++] = *text++;
}

static void put_integer(long long value, const char *plus) {
  char reversed[20];
  size count = 0;
  unsigned long long rest = value < 0 ? -(unsigned long long)value : (unsigned long long)value;
  put(value < 0 ? "-" : plus);
  do reversed[count++] = '0' + rest % 10;
  while (rest /= 10);
  while (count) out[out_length++] = reversed[--count];
}

// Counts ------------------------------------------------------------------------------------------

static void put_key(long long object) {
  begin();
  put("count.o+");
  put_integer(object, "");
}

// The count of an object; whether there is such an object.
static int get_count(long long object, long long *count) {
  char value[24];
  put_key(object);
  if (kernel_store_get(out, out_length) < 0) return 0;
  const char *outer = end;
  end = value + kernel_take(value, sizeof value);
  *count = value[0] == '-' ? -digits(value + 1) : digits(value);
  end = outer;
  return 1;
}

static void set_count(long long object, long long count) {
  put_key(object);
  size key_length = out_length;
  put_integer(count, "");
  kernel_store_set(out, key_length, out + key_length, out_length - key_length);
}

// The number of the next object is one more than that of those there are.
static long long new_object(void) {
  long long object = 1, count;
  while (get_count(object, &count)) object++;
  return object;
}

// Deliveries --------------------------------------------------------------------------------------

static void begin_answer(long long result, const char *rest) {
  begin();
  put("[\"resolve\",[[\"p-");
  put_integer(result, "");
  put(rest);
}

static int end_answer(void) {
  kernel_syscall(out, out_length);
  return 0;
}

#define FULFILLED "\",false,{\"body\":\"#\\\""
#define NO_SLOTS "\\\"\",\"slots\":[]}]]]"

static int answer_integer(long long result, long long value) {
  begin_answer(result, FULFILLED);
  put_integer(value, "+");
  put(NO_SLOTS);
  return end_answer();
}

static int answer_message(long long object, const char *method, long long result) {
  long long count;
  if (!get_count(object, &count)) {
    static const char reason[] = "no such counter";
    kernel_fail(reason, sizeof reason - 1);
    return 1;
  }
  if (is_at(method, "increment\\")) {
    count += integer(method + 10, 1);
    set_count(object, count);
    begin();
    put("count is ");
    put_integer(count, "");
    kernel_print(out, out_length);
    return answer_integer(result, count);
  }
  if (is_at(method, "read\\")) return answer_integer(result, count);
  if (is_at(method, "make_counter\\")) {
    long long made = new_object();
    set_count(made, integer(method + 13, 0));
    begin_answer(result, FULFILLED "$0.Alleged: Counter\\\"\",\"slots\":[\"o+");
    put_integer(made, "");
    put("\"]}]]]");
    return end_answer();
  }
  if (is_at(method, "bootstrap\\")) {
    begin_answer(result, FULFILLED "counting from ");
    put_integer(count, "");
    put(NO_SLOTS);
    return end_answer();
  }
  begin_answer(result, "\",true,{\"body\":\"#{\\\"#error\\\":\\\"Counter has no such method\\\","
                       "\\\"name\\\":\\\"AttributeError\\\"}\",\"slots\":[]}]]]");
  return end_answer();
}

EXPORT(deliver) int deliver(const char *text, size length) {
  end = text + length;
  const char *at = find(text, "[\"startVat\"");
  if (at) {
    const char *start = find(at, "\\\"start\\\":\\\"");
    set_count(0, start ? integer(start, 0) : 0);
    return 0;
  }
  at = find(text, "[\"message\",\"o+");
  if (!at) return 0;  // it keeps nothing of others
  const char *method = find(at, "\"#[\\\""), *result = find(at, "\"result\":\"p-");
  return method && result ? answer_message(digits(at), method, digits(result)) : 0;
}
