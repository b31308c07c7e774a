// walk_sums: products with a tile of a walk, whose KT keys, and values, lie in workgroup memory as (KT, HS/4) quads.
// For the keys' and values' gradients these are queries, and the gradients of out.
//
// The products over a tile are functions, inlined with a constant c, because naga takes time by the square of a
// function's length. A quad is loaded at once: a quarter of the accesses to compile.

// add_scores adds the products of channels 4c to 4c+3.
fn add_scores(c: u32, q: vec4<f32>, s: ptr<function, array<f32, KT>>) {
    for (var k = 0u; k < KT; k++) { // unroll
        let key = keys[k * HS4 + c];
        (*s)[k] = fma(q.w, key.w, fma(q.z, key.z, fma(q.y, key.y, fma(q.x, key.x, (*s)[k]))));
    }
}

// add_values returns channels 4c to 4c+3 of older + sum_k s[k] * values[k].
fn add_values(c: u32, s: ptr<function, array<f32, KT>>, older: vec4<f32>) -> vec4<f32> {
    var acc = older;
    for (var k = 0u; k < KT; k++) { // unroll
        acc = fma(vec4<f32>((*s)[k]), values[k * HS4 + c], acc);
    }
    return acc;
}
