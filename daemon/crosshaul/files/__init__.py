"""Read local files by directory descriptors, never through a symlink."""
