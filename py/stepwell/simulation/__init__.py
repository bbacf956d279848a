"""The ladder under made-up load: discrete events around the policy that serves."""
