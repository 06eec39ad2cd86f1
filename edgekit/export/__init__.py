"""From a Graph to what a board runs: images, C libraries, firmware."""
