"""Files before Spark reads them: what they really are, damage, copies that Spark can read."""
