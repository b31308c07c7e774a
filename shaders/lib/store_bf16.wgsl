// store_bf16: values in memory are bfloat16, the high half of a float32, two to a word, the even one low; a Quad is
// four neighbours of a row.
alias Quad = vec2<u32>; // storage: bf16

fn unpack4(q: Quad) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(q.x << 16u, q.x & 0xffff0000u, q.y << 16u, q.y & 0xffff0000u));
}

// Rounds to the nearest, of two to the even one; a carry out of the mantissa is right in the exponent, up to infinity.
// NaN is found by its bits and keeps its sign: rounding would carry some into infinity.
fn pack4(v: vec4<f32>) -> Quad {
    let u = bitcast<vec4<u32>>(v);
    let near = u + vec4<u32>(0x7fffu) + ((u >> vec4<u32>(16u)) & vec4<u32>(1u));
    let h = select(near, u | vec4<u32>(0x400000u), (u & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800001u));
    return vec2<u32>(h.x >> 16u, h.z >> 16u) | (vec2<u32>(h.y, h.w) & vec2<u32>(0xffff0000u));
}
