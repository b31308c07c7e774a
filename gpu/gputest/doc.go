// Package gputest is what tests that need a device share: the device, and the cases of gpu/selftest on it. Without a
// device it skips the test, or fails it where GPT2WGPU_GPU=require is set. Only tests import it.
package gputest
