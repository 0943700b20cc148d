"""What several stages share: encoders, classifiers, transforms, neighbours, copying."""
