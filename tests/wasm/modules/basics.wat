;; Functions whose gas, depth and results the tests know.
(module
  (memory (export "memory") 1 100)
  (table (export "table") 2 20 funcref)
  (global $counter (export "counter") (mut i32) (i32.const 5))
  (global $hidden (mut i64) (i64.const 7))
  (global $constant i32 (i32.const 9))
  (type $unary (func (param i32) (result i32)))
  (type $pair (func (param i32) (result i32 i32)))
  (elem (i32.const 0) $increment $fib)
  (start $start)

  (func $start (global.set $hidden (i64.const 8)))
  (func (export "hidden") (result i64) (global.get $hidden))

  ;; three plain instructions: local.get, i32.const, i32.add
  (func $increment (export "increment") (type $unary) (i32.add (local.get 0) (i32.const 1)))

  (func (export "choose") (type $unary)
    (if (result i32) (local.get 0) (then (i32.const 10)) (else (i32.add (i32.const 10) (i32.const 10)))))

  (func (export "loop") (type $unary)
    (local i32)
    (loop $again
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))

  (func (export "forever") (loop $again (br $again)))

  (func $fib (export "fib") (type $unary)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))

  ;; calls itself as often as it is told, and comes back by every way out
  (func $depth (export "depth") (type $unary)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (block $out
      (br_if $out (i32.and (local.get 0) (i32.const 1)))
      (return (i32.add (call $depth (i32.sub (local.get 0) (i32.const 1))) (i32.const 1))))
    (i32.add (call $depth (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))

  (func $bottomless (export "bottomless") (result i32) (i32.add (call $bottomless) (i32.const 1)))

  (func $pair (export "pair") (type $pair)
    (if (local.get 0) (then (return (i32.const 1) (i32.const 2))))
    (call $increment (i32.const 2))
    (call $increment (i32.const 3)))

  (func (export "indirect") (param i32 i32) (result i32) (call_indirect (type $unary) (local.get 1) (local.get 0)))

  (func $countdown (export "tail") (type $unary)
    (if (result i32) (local.get 0)
      (then (return_call $countdown (i32.sub (local.get 0) (i32.const 1))))
      (else (i32.const 77))))

  (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))
  (func (export "copy") (param i32) (memory.copy (i32.const 8) (i32.const 0) (local.get 0)))
  (func (export "grow") (type $unary) (memory.grow (local.get 0)))
  (func (export "grow_table") (type $unary) (table.grow (ref.null func) (local.get 0)))

  (func (export "nan32") (result i32) (i32.reinterpret_f32 (f32.div (f32.const 0) (f32.const 0))))
  (func (export "nan64") (result i64) (i64.reinterpret_f64 (f64.sqrt (f64.const -1))))
  (func (export "payload") (result i64)
    (f64.store (i32.const 16) (f64.load (i32.const 24)))
    (i64.store (i32.const 24) (i64.const 0x7ff8000000000123))
    (f64.store (i32.const 16) (f64.load (i32.const 24)))
    (i64.load (i32.const 16)))
  (func (export "nan_lanes") (result i64)
    (i64x2.extract_lane 1 (f32x4.div (v128.const f32x4 0 1 2 0) (v128.const f32x4 0 1 2 0))))
  (func (export "trap") (unreachable)))
