//go:build !js && (!arm64 || darwin)

package wgpu

// encoderTimestamps: wgpu 0.19 writes timestamps between passes wherever TimestampQuery is offered.
const encoderTimestamps = true
