;; Garbage collection.
(module (func (result i32) (i31.get_s (ref.i31 (i32.const 1)))))
