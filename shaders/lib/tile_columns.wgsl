// tile_columns: the tile of a b (COLS,SUMS), a row for each column of the product: 4 x 4 blocks are transposed. Rows and quads
// past the end read the last: such columns are never stored, and such sums are times 0.
fn fill(i: u32, col: u32) {
    let q = i % KS4;
    let c = i / KS4;
    let k4 = (p.SUMS + 3u) / 4u;
    let k = min(p.DEPTH / 4u + q, k4 - 1u);
    let b0 = unpack4(b[min(col + c * 4u, p.COLS - 1u) * k4 + k]);
    let b1 = unpack4(b[min(col + c * 4u + 1u, p.COLS - 1u) * k4 + k]);
    let b2 = unpack4(b[min(col + c * 4u + 2u, p.COLS - 1u) * k4 + k]);
    let b3 = unpack4(b[min(col + c * 4u + 3u, p.COLS - 1u) * k4 + k]);
    tile[q * 4u * TC4 + c] = vec4<f32>(b0.x, b1.x, b2.x, b3.x);
    tile[(q * 4u + 1u) * TC4 + c] = vec4<f32>(b0.y, b1.y, b2.y, b3.y);
    tile[(q * 4u + 2u) * TC4 + c] = vec4<f32>(b0.z, b1.z, b2.z, b3.z);
    tile[(q * 4u + 3u) * TC4 + c] = vec4<f32>(b0.w, b1.w, b2.w, b3.w);
}
