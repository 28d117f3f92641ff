;; A guest that computes with floats, of every kind that can go wrong, and keeps all bits of all results.
;;
;; Memory:  0      the text of a syscall
;;          1024   how many results there are
;;          4096   results, 8 bytes each
;;          65536  the delivery; every 8 bytes of it are a float to start from

(module
  (import "kernel" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 3)
  (data (i32.const 0) "[\22subscribe\22,\22p-7\22]")
  (global $state (mut f64) (f64.const 1.5))
  (global $small (mut f32) (f32.const 0.1))

  (func (export "alloc") (param i32) (result i32) (i32.const 65536))

  (func $keep (param $bits i64)
    (i64.store
      (i32.add (i32.const 4096) (i32.mul (i32.rem_u (i32.load (i32.const 1024)) (i32.const 7168)) (i32.const 8)))
      (local.get $bits))
    (i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1))))

  (func $mix (param $x f64)
    (local $y f32)
    (local.set $y (f32.demote_f64 (local.get $x)))
    (call $keep (i64.reinterpret_f64 (f64.div (f64.sub (local.get $x) (local.get $x)) (f64.const 0))))
    (call $keep (i64.reinterpret_f64 (f64.sqrt (f64.neg (f64.abs (local.get $x))))))
    (call $keep (i64.reinterpret_f64 (f64.add (local.get $x) (f64.const -inf))))
    (call $keep (i64.reinterpret_f64 (f64.mul (f64.const inf) (f64.copysign (f64.const 0) (local.get $x)))))
    (call $keep (i64.reinterpret_f64 (f64.min (local.get $x) (f64.const nan:0x4000000000001))))
    (call $keep (i64.reinterpret_f64 (f64.nearest (f64.mul (local.get $x) (f64.const 1e-3)))))
    (call $keep (i64.reinterpret_f64 (f64.promote_f32 (f32.div (local.get $y) (f32.const 0)))))
    (call $keep (i64.extend_i32_u (i32.reinterpret_f32 (f32.sub (local.get $y) (f32.const inf)))))
    (call $keep (i64.extend_i32_u (i32.reinterpret_f32 (f32.sqrt (local.get $y)))))
    (call $keep (i64.trunc_sat_f64_s (local.get $x)))
    (call $keep (i64.reinterpret_f64 (f64x2.extract_lane 1
      (f64x2.div (f64x2.splat (local.get $x)) (f64x2.splat (f64.const 0))))))
    (call $keep (i64.reinterpret_f64 (f64.neg (f64.const nan:0x123))))
    (global.set $small (f32.add (f32.mul (global.get $small) (f32.const 1.0001)) (local.get $y)))
    (if (f32.ne (global.get $small) (global.get $small)) (then (global.set $small (f32.const 0.1))))
    (global.set $state (f64.sqrt (f64.add (f64.mul (global.get $state) (f64.const 1.37)) (f64.const 0.7))))
    (call $keep (i64.reinterpret_f64 (global.get $state)))
    (call $keep (i64.extend_i32_u (i32.reinterpret_f32 (global.get $small)))))

  (func (export "deliver") (param $at i32) (param $size i32) (result i32)
    (local $end i32)
    (local.set $end (i32.sub (i32.add (local.get $at) (local.get $size)) (i32.const 8)))
    (loop $next
      (call $mix (f64.load (local.get $at)))
      (call $mix (f64.convert_i64_s (i64.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.le_u (local.get $at) (local.get $end))))
    (drop (call $syscall (i32.const 0) (i32.const 19)))
    (i32.const 0)))
