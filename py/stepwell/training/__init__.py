"""From event files to the artifacts of a release; serving never imports this room."""
