// walk_gradients: walk_sums with keys and values changed about, for gradients.

// add_dp adds the products of channels 4c to 4c+3 with values.
fn add_dp(c: u32, g: vec4<f32>, dp: ptr<function, array<f32, KT>>) {
    for (var k = 0u; k < KT; k++) { // unroll
        let value = values[k * HS4 + c];
        (*dp)[k] = fma(g.w, value.w, fma(g.z, value.z, fma(g.y, value.y, fma(g.x, value.x, (*dp)[k]))));
    }
}

// add_keys returns channels 4c to 4c+3 of older + sum_k s[k] * keys[k].
fn add_keys(c: u32, s: ptr<function, array<f32, KT>>, older: vec4<f32>) -> vec4<f32> {
    var acc = older;
    for (var k = 0u; k < KT; k++) { // unroll
        acc = fma(vec4<f32>((*s)[k]), keys[k * HS4 + c], acc);
    }
    return acc;
}
