#!/usr/bin/perl -0777 -i -p
# Sorts the lists of files in Cargo's fingerprints, which have a random order
# (https://github.com/rust-lang/cargo/issues/16693). Arguments: the fingerprints `dep-*`, which are written anew.
#
# In format 1, such a list is a count and, for each file, a kind, a length and a path, and perhaps a checksum. A list of
# any other form is left as it is.
if (/^\x01\0{3}\xff\x01(.{4})/s) {
    my ($left, $at, @files) = (unpack("V", $1), 10);
    while ($left > 0 && $at + 6 <= length) {
        my $from = $at;
        $at += 5 + unpack "V", substr $_, $at + 1, 4;
        last if $at + 1 > length;
        if (ord substr $_, $at++, 1) {
            last if $at + 12 > length;
            $at += 12 + unpack "V", substr $_, $at + 8, 4;
        }
        push @files, substr $_, $from, $at - $from;
        $left--;
    }
    substr $_, 10, $at - 10, join "", sort @files if !$left && $at <= length;
}
