// What a wasm vat in AssemblyScript sees of its kernel; docs/wasm-vats.md explains. Texts are JSON in UTF-8.

@external("kernel", "syscall") declare function kernel_syscall(text: ArrayBuffer, size: i32): i64;
@external("kernel", "print") declare function kernel_print(text: ArrayBuffer, size: i32): i64;
@external("kernel", "fail") declare function kernel_fail(text: ArrayBuffer, size: i32): i64;

/** Room for a delivery's text, which the host writes at once. */
let delivery = new ArrayBuffer(0);

export function alloc(size: i32): usize {
  delivery = new ArrayBuffer(size);
  return changetype<usize>(delivery);
}

export function takeDelivery(): string {
  return String.UTF8.decode(delivery);
}

export function syscall(text: string): void {
  const bytes = String.UTF8.encode(text);
  kernel_syscall(bytes, bytes.byteLength);
}

export function print(text: string): void {
  const bytes = String.UTF8.encode(text);
  kernel_print(bytes, bytes.byteLength);
}

/** Says why `deliver` is about to give 1. */
export function fail(text: string): i32 {
  const bytes = String.UTF8.encode(text);
  kernel_fail(bytes, bytes.byteLength);
  return 1;
}

/** What the compiler calls when something is wrong: the delivery is stopped. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  print(`${message === null ? "failed" : message} in ${file === null ? "?" : file}, line ${line}, column ${column}`);
  unreachable();
}

export function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** `body` without the # before it; `slots` as JSON. */
export function resolve(promise: string, isReject: bool, body: string, slots: string = "[]"): void {
  syscall(`["resolve",[["${promise}",${isReject},{"body":${quote("#" + body)},"slots":${slots}}]]]`);
}

/** Reads compact JSON from left to right, of which it knows what comes next. */
export class Reader {
  private at: i32 = 0;

  constructor(private text: string) {}

  /** Whether this comes next; then it is passed. */
  skip(expected: string): bool {
    if (this.text.substr(this.at, expected.length) != expected) return false;
    this.at += expected.length;
    return true;
  }

  /** A string, without its quotation marks and escapes. */
  string(): string {
    let value = "";
    for (this.at++; this.text.charAt(this.at) != '"'; this.at++) {
      if (this.text.charAt(this.at) == "\\") this.at++;
      value += this.text.charAt(this.at);
    }
    this.at++;
    return value;
  }

  /** Everything up to one of these characters. */
  until(ends: string): string {
    const start = this.at;
    while (this.at < this.text.length && !ends.includes(this.text.charAt(this.at))) this.at++;
    return this.text.substring(start, this.at);
  }

  rest(): string {
    return this.text.substring(this.at);
  }
}

/** Of a message: what is called, with what, and where the answer goes. */
export class Message {
  method: string;
  /** JSON in which texts stand for what JSON has not. */
  args: string;
  slots: string;
  result: string;

  /** `reader` stands behind the target. */
  constructor(reader: Reader) {
    reader.skip(',{"methargs":{"body":');
    const body = new Reader(reader.string());
    body.skip("#[");
    this.method = body.string();
    body.skip(",");
    this.args = body.rest();
    reader.skip(',"slots":');
    this.slots = reader.until("]") + "]";
    reader.skip(']},"result":');
    this.result = reader.string();
  }
}
