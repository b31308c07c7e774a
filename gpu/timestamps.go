//go:build !arm64 || darwin

package gpu

// encoderTimestamps: wgpu 0.19 writes timestamps between passes wherever TimestampQuery is offered.
const encoderTimestamps = true
