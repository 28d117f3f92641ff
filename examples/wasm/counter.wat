;; The counter of examples/counter as a wasm vat, written by hand. It makes the very same syscalls.
;;
;; Memory:  0      texts
;;          4096   counts, an i64 for each object: o+0 is the first
;;          16384  the text of a syscall, as it is put together
;;          65536  the delivery
;;
;; A delivery reads   [2,1700000000000,["message","o+0",{"methargs":{"body":"#[\"increment\",[\"+5\"]]","slots":[]},"result":"p-60"}]]

(module
  (import "kernel" "syscall" (func $syscall (param i32 i32) (result i64)))
  (import "kernel" "print" (func $print (param i32 i32) (result i64)))
  (import "kernel" "fail" (func $fail (param i32 i32) (result i64)))
  (memory (export "memory") 4)

  (global $objects (mut i32) (i32.const 1))   ;; how many counters there are
  (global $objects_max i32 (i32.const 1000))
  (global $end (mut i32) (i32.const 0))       ;; of the delivery
  (global $out (mut i32) (i32.const 0))       ;; where the next character of the syscall goes
  (global $out_start i32 (i32.const 16384))

  ;; Texts, each at a place of its own.
  (data (i32.const 0)    "[\22message\22,\22o+")                              ;; 14
  (data (i32.const 32)   "\22#[\5c\22")                                       ;; 5
  (data (i32.const 64)   "\22result\22:\22p-")                                ;; 12
  (data (i32.const 96)   "increment\5c")                                      ;; 10
  (data (i32.const 128)  "read\5c")                                           ;; 5
  (data (i32.const 160)  "make_counter\5c")                                   ;; 13
  (data (i32.const 192)  "bootstrap\5c")                                      ;; 10
  (data (i32.const 224)  "[\22resolve\22,[[\22p-")                            ;; 16
  (data (i32.const 256)  "\22,false,{\22body\22:\22#\5c\22")                  ;; 20
  (data (i32.const 288)  "\5c\22\22,\22slots\22:[]}]]]")                      ;; 18
  (data (i32.const 320)  "$0.Alleged: Counter\5c\22\22,\22slots\22:[\22o+")   ;; 35
  (data (i32.const 384)  "\22]}]]]")                                          ;; 6
  (data (i32.const 416)  "counting from ")                                    ;; 14
  (data (i32.const 448)  "count is ")                                         ;; 9
  (data (i32.const 480)  "\22,true,{\22body\22:\22#{\5c\22#error\5c\22:\5c\22Counter has no such method\5c\22,\5c\22name\5c\22:\5c\22AttributeError\5c\22}\22,\22slots\22:[]}]]]") ;; 104
  (data (i32.const 608)  "no such counter")                                   ;; 15
  (data (i32.const 640)  "\5c\22start\5c\22:\5c\22")                          ;; 12
  (data (i32.const 672)  "[\22startVat\22")                                   ;; 11

  (func (export "alloc") (param $size i32) (result i32)
    (if (result i32) (i32.le_u (local.get $size) (i32.const 196608))
      (then (i32.const 65536))
      (else (i32.const 0))))

  ;; whether the text of this length is at this place
  (func $is_at (param $at i32) (param $text i32) (param $length i32) (result i32)
    (if (i32.gt_u (i32.add (local.get $at) (local.get $length)) (global.get $end)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.eqz (local.get $length)) (then (return (i32.const 1))))
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (br_if $next (i32.eq
        (i32.load8_u (i32.add (local.get $at) (local.get $length)))
        (i32.load8_u (i32.add (local.get $text) (local.get $length))))))
    (i32.const 0))

  ;; the place behind the first occurrence of a text from here on, or 0
  (func $find (param $at i32) (param $text i32) (param $length i32) (result i32)
    (loop $next
      (if (call $is_at (local.get $at) (local.get $text) (local.get $length))
        (then (return (i32.add (local.get $at) (local.get $length)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (global.get $end))))
    (i32.const 0))

  (func $digits (param $at i32) (result i64)
    (local $value i64) (local $digit i32)
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (if (i32.lt_u (local.get $digit) (i32.const 10))
        (then
          (local.set $value
            (i64.add (i64.mul (local.get $value) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (local.get $value))

  ;; the first integer, such as +5 or -5, in what remains of the body; or another value if there is none
  (func $integer (param $at i32) (param $otherwise i64) (result i64)
    (local $char i32)
    (loop $next
      (local.set $char (i32.load8_u (local.get $at)))
      (if (i32.eq (local.get $char) (i32.const 43)) (then (return (call $digits (i32.add (local.get $at) (i32.const 1))))))
      (if (i32.eq (local.get $char) (i32.const 45))
        (then (return (i64.sub (i64.const 0) (call $digits (i32.add (local.get $at) (i32.const 1)))))))
      (if (i32.and
            (i32.eq (local.get $char) (i32.const 34))
            (i32.ne (i32.load8_u (i32.sub (local.get $at) (i32.const 1))) (i32.const 92)))
        (then (return (local.get $otherwise))))   ;; the end of the body
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (global.get $end))))
    (local.get $otherwise))

  (func $put (param $text i32) (param $length i32)
    (memory.copy (global.get $out) (local.get $text) (local.get $length))
    (global.set $out (i32.add (global.get $out) (local.get $length))))

  (func $put_char (param $char i32)
    (i32.store8 (global.get $out) (local.get $char))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))

  (func $put_digits (param $value i64)
    (if (i64.ge_u (local.get $value) (i64.const 10))
      (then (call $put_digits (i64.div_u (local.get $value) (i64.const 10)))))
    (call $put_char (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10))))))

  ;; a sign always, as integers have in capdata; or only if it is needed, as for people
  (func $put_integer (param $value i64) (param $is_signed i32)
    (if (i64.lt_s (local.get $value) (i64.const 0))
      (then
        (call $put_char (i32.const 45))
        (call $put_digits (i64.sub (i64.const 0) (local.get $value))))
      (else
        (if (local.get $is_signed) (then (call $put_char (i32.const 43))))
        (call $put_digits (local.get $value)))))

  (func $place (param $object i32) (result i32)
    (i32.add (i32.const 4096) (i32.mul (local.get $object) (i32.const 8))))

  (func $say_count (param $count i64)
    (global.set $out (global.get $out_start))
    (call $put (i32.const 448) (i32.const 9))
    (call $put_integer (local.get $count) (i32.const 0))
    (drop (call $print (global.get $out_start) (i32.sub (global.get $out) (global.get $out_start)))))

  ;; begin the answer: [["resolve",[["p-60
  (func $begin (param $result i64)
    (global.set $out (global.get $out_start))
    (call $put (i32.const 224) (i32.const 16))
    (call $put_digits (local.get $result)))

  (func $send
    (drop (call $syscall (global.get $out_start) (i32.sub (global.get $out) (global.get $out_start)))))

  (func $answer_integer (param $result i64) (param $value i64)
    (call $begin (local.get $result))
    (call $put (i32.const 256) (i32.const 20))
    (call $put_integer (local.get $value) (i32.const 1))
    (call $put (i32.const 288) (i32.const 18))
    (call $send))

  (func $answer_counter (param $result i64) (param $object i32)
    (call $begin (local.get $result))
    (call $put (i32.const 256) (i32.const 20))
    (call $put (i32.const 320) (i32.const 35))
    (call $put_digits (i64.extend_i32_u (local.get $object)))
    (call $put (i32.const 384) (i32.const 6))
    (call $send))

  (func $message (param $object i32) (param $method i32) (param $result i64) (result i32)
    (local $place i32)
    (if (i32.ge_u (local.get $object) (global.get $objects))
      (then
        (drop (call $fail (i32.const 608) (i32.const 15)))
        (return (i32.const 1))))
    (local.set $place (call $place (local.get $object)))
    (if (call $is_at (local.get $method) (i32.const 96) (i32.const 10))    ;; increment
      (then
        (i64.store (local.get $place)
          (i64.add
            (i64.load (local.get $place))
            (call $integer (i32.add (local.get $method) (i32.const 10)) (i64.const 1))))
        (call $say_count (i64.load (local.get $place)))
        (call $answer_integer (local.get $result) (i64.load (local.get $place)))
        (return (i32.const 0))))
    (if (call $is_at (local.get $method) (i32.const 128) (i32.const 5))    ;; read
      (then
        (call $answer_integer (local.get $result) (i64.load (local.get $place)))
        (return (i32.const 0))))
    (if (i32.and                                                           ;; make_counter
          (call $is_at (local.get $method) (i32.const 160) (i32.const 13))
          (i32.lt_u (global.get $objects) (global.get $objects_max)))
      (then
        (i64.store (call $place (global.get $objects))
          (call $integer (i32.add (local.get $method) (i32.const 13)) (i64.const 0)))
        (call $answer_counter (local.get $result) (global.get $objects))
        (global.set $objects (i32.add (global.get $objects) (i32.const 1)))
        (return (i32.const 0))))
    (call $begin (local.get $result))
    (if (call $is_at (local.get $method) (i32.const 192) (i32.const 10))   ;; bootstrap
      (then
        (call $put (i32.const 256) (i32.const 20))
        (call $put (i32.const 416) (i32.const 14))
        (call $put_integer (i64.load (local.get $place)) (i32.const 0))
        (call $put (i32.const 288) (i32.const 18)))
      (else
        (call $put (i32.const 480) (i32.const 104))))
    (call $send)
    (i32.const 0))

  (func (export "deliver") (param $delivery i32) (param $size i32) (result i32)
    (local $target i32) (local $method i32) (local $result i32)
    (global.set $end (i32.add (local.get $delivery) (local.get $size)))
    (if (call $find (local.get $delivery) (i32.const 672) (i32.const 11))  ;; startVat
      (then
        (local.set $target (call $find (local.get $delivery) (i32.const 640) (i32.const 12)))
        (if (local.get $target)
          (then (i64.store (i32.const 4096) (call $integer (local.get $target) (i64.const 0)))))
        (return (i32.const 0))))
    (local.set $target (call $find (local.get $delivery) (i32.const 0) (i32.const 14)))
    (if (i32.eqz (local.get $target)) (then (return (i32.const 0))))       ;; it keeps nothing of others
    (local.set $method (call $find (local.get $target) (i32.const 32) (i32.const 5)))
    (local.set $result (call $find (local.get $target) (i32.const 64) (i32.const 12)))
    (if (i32.or (i32.eqz (local.get $method)) (i32.eqz (local.get $result))) (then (return (i32.const 0))))
    (call $message
      (i32.wrap_i64 (call $digits (local.get $target)))
      (local.get $method)
      (call $digits (local.get $result)))))
