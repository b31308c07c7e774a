// tile_rows: the tile of a b (SUMS,COLS), a row for each addend. Rows and quads past the end read the last: such columns are
// never stored, and such sums are times 0.  COLS % 4 == 0.
fn fill(i: u32, col: u32) {
    let c = i % TC4;
    let k = i / TC4 * 4u;
    let c4 = p.COLS / 4u;
    let at = min(col / 4u + c, c4 - 1u);
    tile[k * TC4 + c] = unpack4(b[min(p.DEPTH + k, p.SUMS - 1u) * c4 + at]);
    tile[(k + 1u) * TC4 + c] = unpack4(b[min(p.DEPTH + k + 1u, p.SUMS - 1u) * c4 + at]);
    tile[(k + 2u) * TC4 + c] = unpack4(b[min(p.DEPTH + k + 2u, p.SUMS - 1u) * c4 + at]);
    tile[(k + 3u) * TC4 + c] = unpack4(b[min(p.DEPTH + k + 3u, p.SUMS - 1u) * c4 + at]);
}
