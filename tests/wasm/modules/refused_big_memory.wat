;; More memory than there is for anyone.
(module (memory 65536))
