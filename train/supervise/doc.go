// Package supervise runs a training in a process of its own and starts it again when that ends before its time: by a
// crash in a driver, a lost device, or one that answers no more. [Supervisor] is the parent's part and [Link] the
// child's; they speak over two pipes. The package knows processes and pipes, not what a training is.
package supervise
